//! Both logs, and the local one also with segments so small that nearly everything is read from sealed files.

use crate::support::tiny;
use async_trait::async_trait;
use change_log::conformance::LogFactory;
use change_log::{ChangeLog, LocalLog, LocalLogConfig, MemoryLog};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

struct Memory;

#[async_trait]
impl LogFactory for Memory {
    async fn open(&self) -> Arc<dyn ChangeLog> {
        Arc::new(MemoryLog::new())
    }

    async fn reopen(&self, _: Arc<dyn ChangeLog>) -> Option<Arc<dyn ChangeLog>> {
        None
    }
}

struct Local {
    config: LocalLogConfig,
    directories: Mutex<HashMap<String, TempDir>>,
}

impl Local {
    fn new(config: LocalLogConfig) -> Self {
        Self { config, directories: Mutex::default() }
    }
}

#[async_trait]
impl LogFactory for Local {
    async fn open(&self) -> Arc<dyn ChangeLog> {
        let dir = tempfile::tempdir().unwrap();
        let log = LocalLog::open(dir.path(), self.config.clone()).await.unwrap();
        self.directories.lock().unwrap().insert(log.identity().to_string(), dir);
        Arc::new(log)
    }

    async fn reopen(&self, log: Arc<dyn ChangeLog>) -> Option<Arc<dyn ChangeLog>> {
        let dir = self.directories.lock().unwrap()[log.identity().as_str()].path().to_owned();
        assert_eq!(Arc::strong_count(&log), 1, "a test that opens a log again has let go of it");
        drop(log);
        Some(Arc::new(LocalLog::open(dir, self.config.clone()).await.unwrap()))
    }
}

mod memory {
    change_log::conformance_tests!(super::Memory);
}

mod local {
    change_log::conformance_tests!(super::Local::new(change_log::LocalLogConfig::default()));
}

mod local_with_tiny_segments {
    change_log::conformance_tests!(super::Local::new(super::tiny(2000)));
}
