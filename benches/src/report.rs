//! The figures of a comparison: medians and ratios, as JSON and as tables. Pure: nothing is measured here.

use std::fmt::Write;

use serde::Serialize;

/// A run whose proxy or load waited for its core longer than this share of the time had company.
pub(crate) const DISTURBED: f64 = 0.05;
/// Below this share the proxy was waiting for the load.
const SATURATED: f64 = 0.9;
/// The peer that is compared with the others.
const OURS: &str = "elbow";

#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) measured_at_unix_s: u64,
    pub(crate) machine: String,
    pub(crate) rounds: u32,
    pub(crate) run_seconds: u64,
    pub(crate) peers: Vec<Named>,
    pub(crate) workloads: Vec<Named>,
    pub(crate) summary: Vec<Summary>,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) is: String,
}

/// One turn of one peer with one workload. Shares are of the time of the run.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) round: u32,
    pub(crate) workload: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) requests: u64,
    pub(crate) cpu_us_per_request: f64,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Share in which the proxy was on its core: near 1, the load saturates it.
    pub(crate) proxy_busy: f64,
    /// Share in which the proxy or the load, whichever is more, was ready and another task had its core.
    pub(crate) disturbed: f64,
}

impl Run {
    pub(crate) fn is_disturbed(&self) -> bool {
        self.disturbed > DISTURBED
    }
}

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    workload: &'static str,
    peer: &'static str,
    cpu_us_per_request: f64,
    cpu_us_per_request_min: f64,
    cpu_us_per_request_max: f64,
    requests_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    proxy_busy: f64,
    runs_disturbed: usize,
}

/// A median of ours divided by the same of another peer.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    workload: &'static str,
    of: &'static str,
    to: &'static str,
    cpu_us_per_request: f64,
    requests_per_s: f64,
    p99_us: f64,
}

impl Comparison {
    /// Derives the summary and the ratios from the runs.
    pub(crate) fn sum_up(&mut self) {
        for workload in &self.workloads {
            for peer in &self.peers {
                let here = |run: &&Run| run.workload == workload.name && run.peer == peer.name;
                let runs: Vec<&Run> = self.runs.iter().filter(here).collect();
                self.summary.extend(Summary::of(&runs));
            }
        }
        for ours in self.summary.iter().filter(|row| row.peer == OURS) {
            let others = self.summary.iter().filter(|row| row.workload == ours.workload && row.peer != OURS);
            self.ratios.extend(others.map(|other| Ratio {
                workload: ours.workload,
                of: OURS,
                to: other.peer,
                cpu_us_per_request: ours.cpu_us_per_request / other.cpu_us_per_request,
                requests_per_s: ours.requests_per_s / other.requests_per_s,
                p99_us: ours.p99_us / other.p99_us,
            }));
        }
    }

    /// The same for people, in Markdown.
    pub(crate) fn tables(&self) -> String {
        let mut text =
            format!("{}; medians of {} interleaved runs of {} s\n", self.machine, self.rounds, self.run_seconds);
        for peer in &self.peers {
            _ = writeln!(text, "{}: {}", peer.name, peer.is);
        }
        let heading = ["workload", "proxy", "CPU µs/request", "min to max", "requests/s", "p50 µs", "p99 µs", "busy"];
        text += &table(&heading, self.summary.iter().map(Summary::cells));
        if !self.ratios.is_empty() {
            let heading = ["workload", "ratio", "CPU/request", "requests/s", "p99"];
            text += &table(&heading, self.ratios.iter().map(Ratio::cells));
        }
        for row in self.summary.iter().filter(|row| row.proxy_busy < SATURATED) {
            _ = writeln!(text, "not saturated: {} with `{}`", row.peer, row.workload);
        }
        let disturbed: usize = self.summary.iter().map(|row| row.runs_disturbed).sum();
        if disturbed > 0 {
            let runs = self.runs.len();
            _ = writeln!(text, "disturbed: in {disturbed} of {runs} runs another process took over 5 % of a core");
        }
        text
    }
}

impl Summary {
    fn of(runs: &[&Run]) -> Option<Self> {
        let first = runs.first()?;
        let median_of = |figure: fn(&Run) -> f64| median(runs.iter().map(|run| figure(run)).collect());
        let cpu = runs.iter().map(|run| run.cpu_us_per_request);
        Some(Self {
            workload: first.workload,
            peer: first.peer,
            cpu_us_per_request: median_of(|run| run.cpu_us_per_request),
            cpu_us_per_request_min: cpu.clone().fold(f64::INFINITY, f64::min),
            cpu_us_per_request_max: cpu.fold(0.0, f64::max),
            requests_per_s: median_of(|run| run.requests_per_s),
            p50_us: median_of(|run| run.p50_us),
            p99_us: median_of(|run| run.p99_us),
            proxy_busy: median_of(|run| run.proxy_busy),
            runs_disturbed: runs.iter().filter(|run| run.is_disturbed()).count(),
        })
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.workload.to_owned(),
            self.peer.to_owned(),
            format!("{:.2}", self.cpu_us_per_request),
            format!("{:.2} to {:.2}", self.cpu_us_per_request_min, self.cpu_us_per_request_max),
            format!("{:.0}", self.requests_per_s),
            format!("{:.0}", self.p50_us),
            format!("{:.0}", self.p99_us),
            format!("{:.2}", self.proxy_busy),
        ]
    }
}

impl Ratio {
    fn cells(&self) -> Vec<String> {
        let figures = [self.cpu_us_per_request, self.requests_per_s, self.p99_us].map(|figure| format!("{figure:.2}"));
        [self.workload.to_owned(), format!("{}/{}", self.of, self.to)].into_iter().chain(figures).collect()
    }
}

/// The middle value, or the mean of the two in the middle; 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => 0.0,
        (count, middle) if count % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        (_, middle) => values[middle],
    }
}

/// A Markdown table with an empty line before it; the columns after the second are figures.
pub(crate) fn table(heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![heading.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let width_of = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heading.len()).map(width_of).collect();
    let rule = widths.iter().enumerate().map(|(column, &width)| match column {
        0 | 1 => "-".repeat(width),
        _ => "-".repeat(width - 1) + ":",
    });
    lines.insert(1, rule.collect());

    let mut text = String::from("\n");
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            _ = match column {
                0 | 1 => write!(text, "| {cell:<width$} "),
                _ => write!(text, "| {cell:>width$} "),
            };
        }
        text += "|\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(round: u32, peer: &'static str, cpu_us_per_request: f64) -> Run {
        Run {
            round,
            workload: "small",
            peer,
            requests: 1000,
            cpu_us_per_request,
            requests_per_s: 1_000_000.0 / cpu_us_per_request,
            p50_us: 100.0,
            p99_us: 200.0,
            proxy_busy: 1.0,
            disturbed: 0.0,
        }
    }

    #[test]
    fn ratios_are_of_medians() {
        let named = |name| Named { name, is: String::new() };
        let mut comparison = Comparison {
            measured_at_unix_s: 0,
            machine: String::new(),
            rounds: 3,
            run_seconds: 1,
            peers: vec![named("haproxy"), named("elbow")],
            workloads: vec![named("small")],
            summary: Vec::new(),
            ratios: Vec::new(),
            runs: vec![
                run(1, "haproxy", 16.0),
                run(1, "elbow", 8.0),
                run(2, "haproxy", 90.0),
                run(2, "elbow", 9.0),
                run(3, "haproxy", 15.0),
                run(3, "elbow", 1.0),
            ],
        };
        comparison.sum_up();
        assert_eq!(comparison.ratios.len(), 1);
        assert_eq!(comparison.ratios[0].cpu_us_per_request, 0.5);
        assert_eq!(comparison.ratios[0].requests_per_s, 2.0);
        assert!(comparison.tables().contains("| small    | elbow/haproxy |        0.50 |"), "{}", comparison.tables());
    }

    #[test]
    fn the_median_of_an_even_count_is_between_the_two_in_the_middle() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
