//! A change of the Deployment's size, as opposed to a rollout: every set keeps its share.

use super::sets::{Rollout, Set};
use super::template::{DESIRED_REPLICAS, MAX_REPLICAS};

impl Rollout<'_> {
    /// An active set was sized for another size of the Deployment.
    ///
    /// Not with several active sets and the strategy Recreate: they were adopted, there are no shares to keep, and what is left to
    /// do is to recreate. (Upstream scales nothing there, and so never goes on.)
    pub fn is_scaling_event(&self) -> bool {
        if self.active().len() > 1 && super::is_recreate(self.deployment) {
            return false;
        }
        let sized_for = |index: usize| self.sets[index].annotation_number(DESIRED_REPLICAS);
        self.active().into_iter().filter_map(sized_for).any(|desired| desired != self.bounds.replicas)
    }

    pub fn scale(&mut self) {
        let active = self.active();
        let only = match active[..] {
            [] => self.new.or_else(|| self.old().last().copied()),
            [one] => Some(one),
            _ => None,
        };
        if let Some(only) = only {
            self.scale_set(only, self.bounds.replicas);
        } else if self.new_set().is_some_and(|new| self.is_saturated(new)) {
            for index in self.active_old() {
                self.resize(index, 0);
            }
        } else if active.len() > 1 && !super::is_recreate(self.deployment) {
            self.scale_in_proportion(active);
        }
    }

    /// The new set has all pods that are wanted, and all are available.
    fn is_saturated(&self, new: &Set) -> bool {
        let wanted = self.bounds.replicas;
        new.replicas() == wanted && new.annotation_number(DESIRED_REPLICAS) == Some(wanted) && new.available() == wanted
    }

    fn scale_in_proportion(&mut self, mut active: Vec<usize>) {
        let allowed = if self.bounds.replicas > 0 { self.bounds.max_total() } else { 0 };
        let to_add = allowed - self.total(Set::replicas);
        // The largest first; of equals the newest when growing, the oldest when shrinking. Indexes go from old to new.
        active.sort_by_key(|index| {
            let age = i64::try_from(*index).unwrap_or(i64::MAX);
            (-self.sets[*index].replicas(), if to_add > 0 { -age } else { age })
        });
        let mut added = 0;
        let mut sizes = Vec::new();
        for &index in &active {
            let share = self.share(&self.sets[index]);
            let left = to_add - added;
            let change = if to_add > 0 { share.min(left) } else { share.max(left) };
            let change = if left == 0 { 0 } else { change };
            added += change;
            sizes.push(self.sets[index].replicas() + change);
        }
        // What rounding left over goes to the largest.
        if let Some(largest) = sizes.first_mut() {
            *largest = (*largest + to_add - added).max(0);
        }
        for (index, size) in active.into_iter().zip(sizes) {
            self.scale_set(index, size);
        }
    }

    /// By how much a set would change if it kept its part of the whole.
    fn share(&self, set: &Set) -> i32 {
        if self.bounds.replicas == 0 {
            return -set.replicas();
        }
        let counted = self.deployment.status.as_ref().and_then(|status| status.replicas);
        let before = set.annotation_number(MAX_REPLICAS).filter(|most| *most > 0).or(counted).unwrap_or(0);
        if before == 0 {
            return 0;
        }
        let size = f64::from(set.replicas()) * f64::from(self.bounds.max_total()) / f64::from(before);
        size.round() as i32 - set.replicas()
    }
}
