//! What a process has used, from `/proc`.

use crate::Result;
use std::time::Duration;

/// Clock ticks a second in `/proc/PID/stat`: USER_HZ, 100 on every Linux that runs this.
const TICKS: u64 = 100;

/// Processor time and memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads, in steps of 10 ms.
    pub cpu: Duration,
    /// Resident memory now, KiB.
    pub rss_kib: u64,
    /// The most that was ever resident, KiB.
    pub peak_rss_kib: u64,
}

impl Usage {
    /// Of the process with this id.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        Self::parse(&stat, &status).ok_or_else(|| format!("/proc/{pid} is not as expected").into())
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything; the fields after it are numbered from 3.
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        Some(Self { cpu: Duration::from_millis(ticks * 1000 / TICKS), rss_kib: kib("VmRSS")?, peak_rss_kib: kib("VmHWM")? })
    }
}

/// The load averages, as `/proc/loadavg` says them: 1, 5 and 15 minutes.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1 1";
        let usage = Usage::parse(stat, "Name:\ta\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n");
        let expected = Usage { cpu: Duration::from_millis(3000), rss_kib: 1024, peak_rss_kib: 2048 };
        assert_eq!(usage, Some(expected));
    }
}
