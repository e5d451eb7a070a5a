use crate::cluster::Cluster;
use async_trait::async_trait;
use change_log::ChangeLog;
use change_log::conformance::LogFactory;
use std::sync::Arc;

#[async_trait]
impl LogFactory for Cluster {
    async fn open(&self) -> Arc<dyn ChangeLog> {
        Arc::new(self.log().await)
    }

    async fn reopen(&self, log: Arc<dyn ChangeLog>) -> Option<Arc<dyn ChangeLog>> {
        drop(log);
        Some(Arc::new(self.log().await))
    }
}

mod one_broker {
    change_log::conformance_tests!(crate::cluster::Cluster::start("shared", &[]));
}

/// Every record on three brokers, of which two must have it before it is acknowledged.
mod three_brokers {
    change_log::conformance_tests!(crate::cluster::Cluster::start("three", &["--brokers", "3"]));
}
