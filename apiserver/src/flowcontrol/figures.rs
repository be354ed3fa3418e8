//! What `/metrics` tells of priority and fairness, in upstream's names. What upstream gives for each schema, and is known here for each
//! level only, has no label `flow_schema`.

use std::fmt::Write;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::FlowControl;
use super::level::{Level, Refusal};

const PREFIX: &str = "apiserver_flowcontrol_";

type Gauge = (&'static str, fn(&Level) -> u64);

const GAUGES: [Gauge; 8] = [
    ("nominal_limit_seats", |level| level.account().limits.nominal.into()),
    ("lower_limit_seats", |level| level.account().limits.least.into()),
    ("upper_limit_seats", |level| level.account().limits.most.into()),
    ("current_limit_seats", |level| level.limit().into()),
    ("current_executing_requests", |level| level.executing().into()),
    ("current_executing_seats", |level| level.seats_in_use().into()),
    ("current_inqueue_requests", |level| level.waiting().0 as u64),
    ("current_inqueue_seats", |level| level.waiting().1.into()),
];

impl FlowControl {
    /// In the text format of Prometheus.
    pub(crate) fn figures(&self, text: &mut String) {
        let (flows, levels) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.flows.clone(), state.in_force.clone())
        };
        let mut lines = String::new();
        let mut family = |name: &str, kind: &str, write: &mut dyn FnMut(&mut String)| {
            lines.clear();
            write(&mut lines);
            if !lines.is_empty() {
                // A string takes everything.
                let _ = write!(text, "# TYPE {PREFIX}{name} {kind}\n{lines}");
            }
        };
        family("dispatched_requests_total", "counter", &mut |lines| {
            for flow in &flows {
                let (schema, level, count) = (&flow.spec.name, &flow.level.name, &flow.counts.dispatched);
                let count = count.load(Ordering::Relaxed);
                let name = "dispatched_requests_total";
                let _ =
                    writeln!(lines, "{PREFIX}{name}{{flow_schema=\"{schema}\",priority_level=\"{level}\"}} {count}");
            }
        });
        family("rejected_requests_total", "counter", &mut |lines| {
            for flow in &flows {
                let (schema, level) = (&flow.spec.name, &flow.level.name);
                for (refusal, count) in Refusal::ALL.iter().zip(&flow.counts.refused) {
                    let (why, count) = (refusal.as_str(), count.load(Ordering::Relaxed));
                    if count > 0 {
                        let labels = format!("flow_schema=\"{schema}\",priority_level=\"{level}\",reason=\"{why}\"");
                        let _ = writeln!(lines, "{PREFIX}rejected_requests_total{{{labels}}} {count}");
                    }
                }
            }
        });
        for (name, value) in GAUGES {
            family(name, "gauge", &mut |lines| {
                for (level, own) in &levels {
                    let _ = writeln!(lines, "{PREFIX}{name}{{priority_level=\"{level}\"}} {}", value(own));
                }
            });
        }
    }
}
