//! From samples to rows: medians, and ratios to the floor of the same round, or to the best.

use serde::Serialize;

use crate::memory::Memory;
use crate::meter::Speed;
use crate::runner::{Measured, Results, Sample};
use crate::scenario::{Group, Scenario};
use crate::servers::{self, Kind, Server};

/// What the others are compared with varies by more than this between rounds, and the machine was noisy.
const NOISY: f64 = 0.1;

/// What a server came to in a scenario.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Row {
    /// The median over the rounds, of each figure.
    pub(crate) speed: Speed,
    /// CPU time over that of the floor in the same round, or of the best server.
    pub(crate) ratio: Option<Range>,
    /// CPU time in microseconds.
    pub(crate) cpu: Range,
}

/// A median, and how far from it the rounds went.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Range {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Results {
    /// What the servers are compared with in this scenario: the bare one that needed the least CPU time, and where there
    /// is no bare one, any.
    pub(crate) fn floor(&self, scenario: &Scenario) -> Option<&'static Server> {
        let cpu =
            |server: &Server| Range::of(self.speeds(scenario, server).map(|(_, speed)| speed.cpu).collect());
        let floors = servers::ALL.iter().filter(|server| {
            server.job == scenario.job() && (server.kind == Kind::Floor || scenario.group == Group::Deflate)
        });
        floors
            .filter_map(|server| Some((server, cpu(server)?.median)))
            .min_by(|one, other| one.1.total_cmp(&other.1))
            .map(|(server, _)| server)
    }

    pub(crate) fn row(&self, scenario: &Scenario, server: &Server) -> Option<Row> {
        let speeds: Vec<_> = self.speeds(scenario, server).collect();
        let median = |figure: fn(&Speed) -> f64| {
            Some(Range::of(speeds.iter().map(|(_, speed)| figure(speed)).collect())?.median)
        };
        let speed = Speed {
            cpu: median(|speed| speed.cpu)?,
            user: median(|speed| speed.user)?,
            system: median(|speed| speed.system)?,
            messages: median(|speed| speed.messages)?,
            per_second: median(|speed| speed.per_second)?,
            p50: median(|speed| speed.p50)?,
            p99: median(|speed| speed.p99)?,
            server_cores: median(|speed| speed.server_cores)?,
            other_cores: median(|speed| speed.other_cores)?,
            stolen_cores: median(|speed| speed.stolen_cores)?,
            answer: Range::of(speeds.iter().filter_map(|(_, speed)| speed.answer).collect())
                .map(|range| range.median),
            disturbed: speeds.iter().any(|(_, speed)| speed.disturbed),
        };
        Some(Row {
            speed,
            ratio: self.floor(scenario).and_then(|floor| self.ratio(scenario, server, floor)),
            cpu: Range::of(speeds.iter().map(|(_, speed)| speed.cpu).collect())?,
        })
    }

    /// The CPU time of a server over that of another one in the same round.
    pub(crate) fn ratio(&self, scenario: &Scenario, server: &Server, to: &Server) -> Option<Range> {
        let others: Vec<_> = self.speeds(scenario, to).collect();
        let ratio = |(round, speed): (usize, Speed)| {
            others.iter().find(|(other, _)| *other == round).map(|(_, other)| speed.cpu / other.cpu)
        };
        Range::of(self.speeds(scenario, server).filter_map(ratio).collect())
    }

    pub(crate) fn memory(&self, scenario: &Scenario, server: &Server) -> Option<Memory> {
        self.samples.iter().find_map(|sample| match sample.measured {
            Measured::Memory(memory) if sample.scenario == scenario.name && sample.server == server.name => {
                Some(memory)
            }
            _ => None,
        })
    }

    /// The servers that have been measured in these scenarios.
    pub(crate) fn servers(&self, scenarios: &[&Scenario]) -> Vec<&'static Server> {
        let measured = |server: &&Server| {
            self.samples.iter().any(|sample| {
                sample.server == server.name
                    && scenarios.iter().any(|scenario| sample.scenario == scenario.name)
            })
        };
        servers::ALL.iter().filter(measured).collect()
    }

    /// What a reader has to know before the figures.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for scenario in &self.scenarios {
            if self.samples.iter().any(|sample| sample.shared && sample.scenario == scenario.name) {
                remarks.push(format!(
                    "`{}`: too few cores, the generator shares one with the server.",
                    scenario.name
                ));
            }
        }
        if self.machine.congestion != servers::CONGESTION {
            remarks.push(format!(
                "TCP congestion control is {}: {} is not to be had here.",
                self.machine.congestion,
                servers::CONGESTION
            ));
        }
        for scenario in &self.scenarios {
            if let Some(floor) = self.floor(scenario)
                && let Some(Row { cpu, .. }) = self.row(scenario, floor)
                && cpu.most > cpu.least * (1.0 + NOISY)
            {
                let spread = (cpu.most / cpu.least - 1.0) * 100.0;
                remarks
                    .push(format!("Noisy: in `{}` {} varied by {spread:.0} %.", scenario.name, floor.name));
            }
        }
        let disturbed =
            |sample: &&Sample| matches!(sample.measured, Measured::Speed(speed) if speed.disturbed);
        let disturbed = self.samples.iter().filter(disturbed).count();
        if disturbed > 0 {
            remarks.push(format!(
                "Noisy: during {disturbed} of {} measurements others took more than a tenth of a core.",
                self.samples.len()
            ));
        }
        remarks.extend(self.failures.iter().map(|failure| format!("Failed: {failure}.")));
        remarks
    }

    fn speeds(&self, scenario: &Scenario, server: &Server) -> impl Iterator<Item = (usize, Speed)> {
        self.samples.iter().filter_map(move |sample| match sample.measured {
            Measured::Speed(speed) if sample.scenario == scenario.name && sample.server == server.name => {
                Some((sample.round, speed))
            }
            _ => None,
        })
    }
}

impl Range {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Range { median, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let range = Range::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((range.least, range.median, range.most), (1.0, 2.5, 4.0));
    }
}
