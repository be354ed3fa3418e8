//! How many seats each priority level has: its share of all, and what levels lend each other
//! (`k8s.io/apiserver/pkg/util/flowcontrol/{apf_controller,conc_alloc}.go`).

/// What is read of a PriorityLevelConfiguration about its share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    pub shares: u32,
    pub lendable_percent: u32,
    /// `None`: as much as others lend.
    pub borrowing_percent: Option<u32>,
}

/// Seats of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub nominal: u32,
    /// What it keeps, however much others want.
    pub least: u32,
    pub most: u32,
}

/// Divides the server's seats. All nominal limits are rounded up, so that their sum is a little more than `total`.
pub fn divide(total: u32, shares: &[Share]) -> Vec<Limits> {
    let sum: f64 = shares.iter().map(|share| f64::from(share.shares)).sum();
    let limits = |share: &Share| {
        let nominal = if sum == 0.0 { 0.0 } else { (f64::from(total) * f64::from(share.shares) / sum).ceil() };
        let percent = |percent: u32| (nominal * f64::from(percent) / 100.0).round() as u32;
        let borrowing = share.borrowing_percent.map_or(total, percent);
        let (nominal, lendable) = (nominal as u32, percent(share.lendable_percent));
        Limits { nominal, least: nominal.saturating_sub(lendable), most: nominal.saturating_add(borrowing) }
    };
    shares.iter().map(limits).collect()
}

/// What a level asked for since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    pub limits: Limits,
    pub exempt: bool,
    /// The most seats that were taken or waited for at once.
    pub peak: u32,
    /// The peaks, going down slowly.
    pub smoothed: f64,
}

/// How slowly a demand that has gone is forgotten (per adjustment).
const SMOOTHING: f64 = 0.977;

/// Upstream takes the average of the demand over time and one deviation on top; this is its peak, which costs a request nothing to
/// know.
pub fn smooth(before: f64, peak: u32) -> f64 {
    let peak = f64::from(peak);
    peak.max(SMOOTHING * before + (1.0 - SMOOTHING) * peak)
}

/// The current limit of each level: those that want more get what others do not need now, in proportion to what they want.
pub fn lend(demands: &[Demand]) -> Vec<u32> {
    let total: i64 = demands.iter().map(|demand| i64::from(demand.limits.nominal)).sum();
    // Requests of an exempt level are never limited: what they take is taken from the others.
    let exempt: i64 = demands.iter().filter(|demand| demand.exempt).map(|demand| i64::from(wanted(demand))).sum();
    let left = total - exempt;
    let limited = || demands.iter().filter(|demand| !demand.exempt);
    let least: i64 = limited().map(|demand| i64::from(demand.limits.least)).sum();
    let wanting: i64 = limited().map(|demand| i64::from(wanted(demand))).sum();
    let fraction = (left - least) as f64 / (wanting - least).max(1) as f64;
    let fair = if left > wanting { fair_proportion(total as f64, limited()) } else { 0.0 };
    let one = |demand: &Demand| {
        if demand.exempt {
            wanted(demand)
        } else if left <= least {
            demand.limits.least
        } else if left <= wanting {
            let more = f64::from(wanted(demand) - demand.limits.least) * fraction;
            demand.limits.least + more.round() as u32
        } else {
            allotted(demand, fair).round() as u32
        }
    };
    demands.iter().map(one).collect()
}

/// What a level gets at least now.
fn wanted(demand: &Demand) -> u32 {
    let own = if demand.exempt { demand.peak } else { demand.peak.min(demand.limits.nominal) };
    own.max(demand.limits.least)
}

fn target(demand: &Demand) -> f64 {
    const LEAST: f64 = 0.001;
    f64::from(wanted(demand)).max(demand.smoothed).max(LEAST)
}

fn allotted(demand: &Demand, fair: f64) -> f64 {
    let (low, high) = (f64::from(wanted(demand)), f64::from(demand.limits.most));
    (fair * target(demand)).clamp(low, high.max(low))
}

/// The factor of all targets with which what is allotted sums to `total`. The sum grows with it, so it is found by halving.
fn fair_proportion<'d>(total: f64, demands: impl Iterator<Item = &'d Demand> + Clone) -> f64 {
    let sum = |fair: f64| demands.clone().map(|demand| allotted(demand, fair)).sum::<f64>();
    let highest = demands.clone().map(|demand| f64::from(demand.limits.most) / target(demand)).fold(0.0, f64::max);
    let (mut low, mut high) = (0.0, highest);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if sum(middle) < total { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULTS: [(&str, u32, u32); 8] = [
        ("exempt", 0, 0),
        ("catch-all", 5, 0),
        ("system", 30, 33),
        ("node-high", 40, 25),
        ("leader-election", 10, 0),
        ("workload-high", 40, 50),
        ("workload-low", 100, 90),
        ("global-default", 20, 50),
    ];

    fn demands(peaks: &[(&str, u32)]) -> Vec<Demand> {
        let shares =
            DEFAULTS.map(|(_, shares, lendable_percent)| Share { shares, lendable_percent, ..Share::default() });
        let limits = divide(600, &shares);
        let demand = |((name, ..), limits): (&(&str, u32, u32), &Limits)| {
            let peak = peaks.iter().find(|(own, _)| own == name).map_or(0, |(_, peak)| *peak);
            Demand { limits: *limits, exempt: *name == "exempt", peak, smoothed: f64::from(peak) }
        };
        DEFAULTS.iter().zip(&limits).map(demand).collect()
    }

    #[test]
    fn seats_are_divided_by_shares() {
        let limits: Vec<_> =
            demands(&[]).iter().map(|demand| demand.limits).map(|l| (l.nominal, l.least, l.most)).collect();
        // Upstream's formula, by hand.
        let expected = [
            (0, 0, 600),
            (13, 13, 613),
            (74, 50, 674),
            (98, 73, 698),
            (25, 25, 625),
            (98, 49, 698),
            (245, 24, 845),
            (49, 24, 649),
        ];
        assert_eq!(limits, expected);
    }

    #[test]
    fn who_wants_more_borrows() {
        let idle = lend(&demands(&[]));
        let busy = lend(&demands(&[("global-default", 400)]));
        assert!(busy[7] > idle[7] && busy[7] > 49, "{busy:?}");
        assert!(busy[2] >= 50 && busy[3] >= 73 && busy[4] >= 25, "what may not be lent stays: {busy:?}");
        let crowded = lend(&demands(&[("exempt", 5000), ("global-default", 400)]));
        assert_eq!(crowded, [5000, 13, 50, 73, 25, 49, 24, 24], "all keep the least");
    }

    proptest! {
        #[test]
        fn limits_stay_within_bounds_and_sum_up(peaks in prop::collection::vec(0u32..800, 8)) {
            let peaks: Vec<_> = DEFAULTS.iter().map(|(name, ..)| *name).zip(peaks).collect();
            let demands = demands(&peaks);
            let current = lend(&demands);
            for (demand, current) in demands.iter().zip(&current).filter(|(demand, _)| !demand.exempt) {
                prop_assert!((demand.limits.least..=demand.limits.most).contains(current), "{demand:?} {current}");
            }
            let total: u32 = demands.iter().map(|demand| demand.limits.nominal).sum();
            let limited: u32 = demands.iter().zip(&current).filter(|(demand, _)| !demand.exempt).map(|(_, one)| one).sum();
            // Each is rounded.
            prop_assert!(limited <= total + 8, "{limited} of {total}");
        }
    }
}
