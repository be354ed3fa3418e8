//! The strategy Recreate: all old pods end before a new one begins.

use super::View;
use super::sets::{Collision, Rollout};
use super::status;

impl Rollout<'_> {
    pub fn recreate(&mut self, view: &View) -> Result<(), Collision> {
        let mut shrunk = false;
        for index in self.active_old() {
            shrunk |= self.resize(index, 0);
        }
        if shrunk || self.old_pods_run(view) {
            return Ok(());
        }
        self.ensure_new_set(view)?;
        if let Some(new) = self.new {
            self.resize(new, self.bounds.replicas);
        }
        if status::is_complete(&self.bounds, self.deployment, &self.status) {
            self.clean_up();
        }
        Ok(())
    }

    fn old_pods_run(&self, view: &View) -> bool {
        let new_uid = self.new_set().and_then(|set| set.now.metadata.uid.as_ref());
        let counted: i32 = self.old().into_iter().map(|index| self.sets[index].actual()).sum();
        counted > 0 || view.busy.iter().any(|uid| Some(uid) != new_uid)
    }
}
