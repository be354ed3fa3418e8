//! How many pods a rollout may have too many and too few.

use k8s_openapi::api::apps::v1::DeploymentSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub replicas: i32,
    pub max_surge: i32,
    pub max_unavailable: i32,
}

impl Bounds {
    pub fn of(spec: &DeploymentSpec) -> Self {
        let replicas = spec.replicas.unwrap_or(1);
        let strategy = spec.strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            return Self { replicas, max_surge: 0, max_unavailable: 0 };
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
        let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let max_surge = scaled(surge, replicas, Round::Up);
        let mut max_unavailable = scaled(unavailable, replicas, Round::Down);
        // Both at zero (a small percentage rounds to that) would never move.
        if max_surge == 0 && max_unavailable == 0 {
            max_unavailable = 1;
        }
        Self { replicas, max_surge, max_unavailable: max_unavailable.min(replicas) }
    }

    /// The most pods at a time.
    pub fn max_total(&self) -> i32 {
        self.replicas + self.max_surge
    }

    pub fn min_available(&self) -> i32 {
        self.replicas - self.max_unavailable
    }
}

#[derive(Clone, Copy)]
enum Round {
    Up,
    Down,
}

/// Absent means the default, 25%. The server has validated the syntax.
fn scaled(value: Option<&IntOrString>, of: i32, round: Round) -> i32 {
    let percent = match value {
        Some(IntOrString::Int(number)) => return *number,
        Some(IntOrString::String(text)) => text.trim_end_matches('%').parse().unwrap_or(0),
        None => 25,
    };
    let hundredfold = i64::from(of) * percent;
    let result = match round {
        Round::Up => hundredfold.unsigned_abs().div_ceil(100) as i64,
        Round::Down => hundredfold / 100,
    };
    i32::try_from(result).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fenceposts() {
        let percent = |text: &str| IntOrString::String(text.to_owned());
        let table = [
            (2, percent("0%"), percent("1%"), (0, 1)),
            (1, percent("0%"), percent("1%"), (0, 1)),
            (2, percent("1%"), percent("25%"), (1, 0)),
            (10, percent("25%"), percent("25%"), (3, 2)),
            (10, IntOrString::Int(3), IntOrString::Int(2), (3, 2)),
            (1, IntOrString::Int(0), IntOrString::Int(5), (0, 1)),
            (0, percent("25%"), percent("25%"), (0, 0)),
        ];
        for (replicas, surge, unavailable, expected) in table {
            let rolling = serde_json::json!({"maxSurge": surge, "maxUnavailable": unavailable});
            let spec = serde_json::json!({"replicas": replicas, "selector": {}, "template": {},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}});
            let bounds = Bounds::of(&serde_json::from_value(spec).expect("a spec"));
            assert_eq!((bounds.max_surge, bounds.max_unavailable), expected, "{replicas} {rolling}");
        }
    }
}
