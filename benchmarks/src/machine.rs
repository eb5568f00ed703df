//! The machine: its cores, its limits, and what else it does.

use std::fs;
use std::process::Command;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use crate::Result;

/// The cores that this process may use.
#[derive(Clone, Debug)]
pub(crate) struct Cores(Vec<usize>);

/// Which of them do what.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Split {
    pub(crate) server: Vec<usize>,
    pub(crate) generator: usize,
    /// The generator has no core of its own, or only the other half of the server's.
    pub(crate) shared: bool,
}

/// What the results name.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) congestion: String,
}

/// CPU time of all cores since the machine was started, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    pub(crate) used: u64,
    /// What the host gave to others.
    pub(crate) stolen: u64,
}

impl Cores {
    /// To be asked before anything is pinned.
    pub(crate) fn allowed() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        Ok(Cores((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The first cores for a server with this many threads, and for the generator the farthest one that is not the
    /// other half of one of these.
    pub(crate) fn split(&self, workers: usize) -> Result<Split> {
        let server = self.0[..workers.min(self.0.len())].to_vec();
        let halves: Vec<usize> = server.iter().flat_map(|core| siblings(*core)).collect();
        let own = self.0.iter().rev().find(|core| !halves.contains(core));
        let generator = own.or(self.0.last()).copied().ok_or("no core to run on")?;
        Ok(Split { shared: own.is_none(), server, generator })
    }
}

/// The cores that share their arithmetic with this one, itself included.
fn siblings(core: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let list = fs::read_to_string(path).unwrap_or_default();
    let mut cores = vec![core];
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse()) {
            cores.extend(first..=last);
        }
    }
    cores
}

/// Keeps this thread, and those that it starts, on these cores.
pub(crate) fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(sched_setaffinity(None, &set)?)
}

/// As many open files as may be had; tells how many.
pub(crate) fn raise_open_files() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

pub(crate) fn nanoseconds_per_tick() -> u64 {
    1_000_000_000 / clock_ticks_per_second()
}

impl Busy {
    pub(crate) fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal
        let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else {
            return Err("/proc/stat has another form".into());
        };
        let tick = nanoseconds_per_tick();
        Ok(Busy { used: (user + nice + system + irq + softirq) * tick, stolen: steal * tick })
    }
}

impl Machine {
    pub(crate) fn describe(cores: &Cores, congestion: String) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let rustc = Command::new("rustc").arg("--version").output().ok();
        Machine {
            processor: processor.map_or("unknown", |(_, name)| name).to_owned(),
            cores: cores.len(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            rustc: rustc
                .map_or_else(String::new, |out| String::from_utf8_lossy(&out.stdout).trim().to_owned()),
            congestion,
        }
    }
}
