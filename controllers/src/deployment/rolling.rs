//! The strategy RollingUpdate: the new set grows and the old ones shrink, between most pods and fewest available ones.

use super::View;
use super::sets::{Collision, Rollout, Set};
use super::status;

impl Rollout<'_> {
    pub fn roll(&mut self, view: &View) -> Result<(), Collision> {
        let existed = self.new.is_some();
        self.ensure_new_set(view)?;
        // One step a time: the next one follows when the caches show this one.
        if !existed || self.grow_new() || self.shrink_old() {
            return Ok(());
        }
        if status::is_complete(&self.bounds, self.deployment, &self.status) {
            self.clean_up();
        }
        Ok(())
    }

    fn grow_new(&mut self) -> bool {
        let Some(new) = self.new else { return false };
        self.resize(new, self.wanted_size_of_new())
    }

    /// As many as fit under the most pods, and no more than are wanted.
    pub fn wanted_size_of_new(&self) -> i32 {
        let size = self.new_set().map_or(0, Set::replicas);
        if super::is_recreate(self.deployment) || size >= self.bounds.replicas {
            return self.bounds.replicas;
        }
        let room = self.bounds.max_total() - self.total(Set::replicas);
        size + room.clamp(0, self.bounds.replicas - size)
    }

    fn shrink_old(&mut self) -> bool {
        let Some(new) = self.new_set() else { return false };
        let new_unavailable = new.replicas() - new.staying();
        let spare = self.total(Set::replicas) - self.bounds.min_available() - new_unavailable;
        if self.active_old().is_empty() || spare <= 0 {
            return false;
        }
        let unhealthy = self.drop_unhealthy(spare);
        let healthy = self.drop_surplus();
        unhealthy || healthy
    }

    /// Old pods that are not available help nobody and hold up the rollout.
    fn drop_unhealthy(&mut self, mut spare: i32) -> bool {
        let mut changed = false;
        for index in self.active_old() {
            let set = &self.sets[index];
            let drop = (set.replicas() - set.available()).clamp(0, spare);
            spare -= drop;
            changed |= self.resize(index, self.sets[index].replicas() - drop);
        }
        changed
    }

    fn drop_surplus(&mut self) -> bool {
        let mut surplus = self.total(Set::staying) - self.bounds.min_available();
        let mut changed = false;
        for index in self.active_old() {
            let drop = self.sets[index].replicas().min(surplus).max(0);
            surplus -= drop;
            changed |= self.resize(index, self.sets[index].replicas() - drop);
        }
        changed
    }
}
