//! What the kernel says: which machine it is, CPU time and waiting time of a process, memory, and which core a thread
//! runs on.
//! Not what is done with it (`compare`, `scale`).

use std::collections::BTreeMap;
use std::fs;
use std::io;

use anyhow::{Context, Result, ensure};

/// The core for the proxy and the core for everything else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    proxy: core_affinity::CoreId,
    load: core_affinity::CoreId,
}

impl Cores {
    /// The first two cores this process may use. Ask before anything is pinned.
    pub(crate) fn find() -> Result<Self> {
        let cores = core_affinity::get_core_ids().context("the kernel does not say which cores there are")?;
        ensure!(cores.len() >= 2, "the bench needs two cores: one for the proxy, one for the load");
        Ok(Self { proxy: cores[0], load: cores[1] })
    }

    /// Runs `spawn` on the proxy's core, so that the process it starts inherits that core with all its threads.
    pub(crate) fn on_proxy_core<T>(&self, spawn: impl FnOnce() -> Result<T>) -> Result<T> {
        pin(self.proxy)?;
        let spawned = spawn();
        pin(self.load)?;
        spawned
    }
}

fn pin(core: core_affinity::CoreId) -> Result<()> {
    ensure!(core_affinity::set_for_current(core), "cannot pin a thread to core {}", core.id);
    Ok(())
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TaskTime {
    /// Time on a core, in the kernel's work for it too.
    pub(crate) on_cpu_ns: u64,
    /// Time it was ready and another task had its core.
    pub(crate) waiting_ns: u64,
}

/// The times of all threads of some processes, at one moment.
#[derive(Debug)]
pub(crate) struct Sample(BTreeMap<String, TaskTime>);

impl Sample {
    /// All threads of a process and of the processes it started (nginx works in a child of its master).
    pub(crate) fn of_process_tree(pid: u32) -> Result<Self> {
        let mut tasks = BTreeMap::new();
        for pid in process_tree(pid)? {
            for task in entries(&format!("/proc/{pid}/task"))? {
                match task_time(&format!("/proc/{pid}/task/{task}/schedstat")) {
                    Ok(time) => _ = tasks.insert(task, time),
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(error).context(format!("schedstat of thread {task} of process {pid}")),
                }
            }
        }
        ensure!(!tasks.is_empty(), "process {pid} has ended");
        Ok(Self(tasks))
    }

    pub(crate) fn of_this_thread() -> Result<Self> {
        let time = task_time("/proc/thread-self/schedstat").context("schedstat of this thread")?;
        Ok(Self(BTreeMap::from([(String::new(), time)])))
    }

    /// What was spent from `before` until this sample. A thread that ended in between counts as nothing.
    pub(crate) fn since(&self, before: &Self) -> TaskTime {
        let mut spent = TaskTime::default();
        for (task, now) in &self.0 {
            let then = before.0.get(task).copied().unwrap_or_default();
            spent.on_cpu_ns += now.on_cpu_ns - then.on_cpu_ns;
            spent.waiting_ns += now.waiting_ns - then.waiting_ns;
        }
        spent
    }
}

/// What may matter of the machine, in one line.
pub(crate) fn machine() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let congestion_control = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")?;
    let model = model.map_or("unknown CPU", |(_, name)| name);
    Ok(format!("{model}, Linux {}, {}", kernel.trim(), congestion_control.trim()))
}

/// `VmRSS`, `VmHWM` and the like, in KiB.
pub(crate) fn memory_kib(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("memory of the process")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {field}"))?;
    Ok(number.parse()?)
}

/// The process and its descendants; parents come before their children.
pub(crate) fn process_tree(root: u32) -> Result<Vec<u32>> {
    let mut parents = BTreeMap::new();
    for name in entries("/proc")? {
        let Ok(pid) = name.parse::<u32>() else { continue };
        // Gone since it was listed.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // "PID (NAME) STATE PARENT …", where the name may hold anything.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        parents.insert(pid, parent.and_then(|parent| parent.parse().ok()).unwrap_or(0));
    }
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        tree.extend(parents.iter().filter(|&(_, &of)| of == parent).map(|(&pid, _)| pid));
        next += 1;
    }
    Ok(tree)
}

fn entries(directory: &str) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        entries => entries.context(directory.to_owned())?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn task_time(path: &str) -> io::Result<TaskTime> {
    let text = fs::read_to_string(path)?;
    let mut numbers = text.split_whitespace().map_while(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(on_cpu_ns), Some(waiting_ns)) => Ok(TaskTime { on_cpu_ns, waiting_ns }),
        _ => Err(io::Error::other("not as documented: the kernel lacks CONFIG_SCHED_INFO")),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn work_of_this_process_is_seen_and_nothing_else() {
        let before = Sample::of_process_tree(std::process::id()).expect("a sample");
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(50) {}
        let elapsed = started.elapsed();
        let spent = Sample::of_process_tree(std::process::id()).expect("a sample").since(&before);
        // One thread was on a core or waiting for it all the time; other tests may run beside.
        assert!(spent.on_cpu_ns + spent.waiting_ns >= 40_000_000, "{spent:?} in {elapsed:?}");
    }
}
