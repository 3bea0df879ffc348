//! What the kernel counts of this process, from `/proc/self`. What cannot be read is left out.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::names::{self, Metric};

/// Each metric that can be had, with its value.
pub(super) fn samples() -> Vec<(Metric, f64)> {
    let mut samples = Vec::new();
    if let Some(stat) = Stat::read() {
        samples.push((names::PROCESS_CPU, stat.cpu_seconds));
        samples.push((names::PROCESS_RESIDENT_MEMORY, stat.resident_bytes));
        samples.push((names::PROCESS_VIRTUAL_MEMORY, stat.virtual_bytes));
        samples.push((names::PROCESS_THREADS, stat.threads));
        samples.extend(stat.start_seconds().map(|start| (names::PROCESS_START_TIME, start)));
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // Reading the directory holds a descriptor of its own.
        samples.push((names::PROCESS_OPEN_FDS, entries.count().saturating_sub(1) as f64));
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        samples.push((names::PROCESS_MAX_FDS, limit as f64));
    }
    samples
}

/// The fields of `/proc/self/stat` that are of use (proc(5)).
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    started_seconds_after_boot: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in parentheses, which may hold anything; the third follows the last.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks_per_second,
            threads: field(20)?,
            started_seconds_after_boot: field(22)? / ticks_per_second,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * rustix::param::page_size() as f64,
        })
    }

    /// When the process started, since the epoch. By the kernel's own time of boot, so that it never changes.
    fn start_seconds(&self) -> Option<f64> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let boot = text.lines().find_map(|line| line.strip_prefix("btime "))?;
        Some(boot.trim().parse::<f64>().ok()? + self.started_seconds_after_boot)
    }
}
