//! Gets, lists and watches.

use super::super::step::{Action, Request};
use super::Story;

const LABEL_SELECTORS: [&str; 14] = [
    "item=a",
    "item==b",
    "item!=a",
    "item in (a,b)",
    "item notin (a, c)",
    "item",
    "!item",
    "n>1",
    "n in (1,2,3),item",
    "app=x",
    "item in ()",
    "item=a b",
    "=a",
    "item=,n",
];

impl Story {
    pub(super) fn get(&mut self) {
        let name = self.a_name();
        let mut request = Request::new("GET", self.kind.path(name));
        if self.random.percent(15) {
            let version = match self.random.below(4) {
                0 => "0".to_owned(),
                1 => "x".to_owned(),
                _ => self.a_revision(),
            };
            request = request.query("resourceVersion", version);
        }
        let request = self.accept(request);
        let label = self.send(request);
        self.objects.push((name, label));
    }

    /// Where to list: cluster-wide the scenario is told by its label.
    fn collection(&mut self, method: &str) -> Request {
        if self.kind.namespaced && self.random.percent(80) {
            return Request::new(method, self.kind.collection());
        }
        let mut selector = "scenario=${ns}".to_owned();
        if self.random.percent(40) {
            selector = format!("{selector},{}", self.random.pick(&LABEL_SELECTORS));
        }
        Request::new(method, self.kind.everywhere()).query("labelSelector", selector)
    }

    pub(super) fn selected(&mut self, method: &str) -> Request {
        let mut request = self.collection(method);
        if request.query.is_empty() && self.random.percent(40) {
            let selector = *self.random.pick(&LABEL_SELECTORS);
            request = request.query("labelSelector", selector);
        }
        if self.random.percent(20) {
            let own = self.kind.selectable;
            let field = if !own.is_empty() && self.random.percent(60) {
                let values = ["", "a", "R", "Normal", "Always", "Opaque", "ClusterIP", "Active", "false", "Pending"];
                let operator = *self.random.pick(&["=", "!=", "=="]);
                format!("{}{operator}{}", self.random.pick(own), self.random.pick(&values))
            } else {
                let fields = [
                    "metadata.name=a",
                    "metadata.name!=a",
                    "metadata.name=${ns}-a",
                    "metadata.namespace=${ns}",
                    "metadata.name=a,metadata.namespace=${ns}",
                    "spec.unknown=1",
                    "metadata.uid=1",
                    "metadata.name",
                    "metadata.name in (a)",
                ];
                (*self.random.pick(&fields)).to_owned()
            };
            request = request.query("fieldSelector", field);
        }
        request
    }

    pub(super) fn list(&mut self) {
        let mut request = self.selected("GET");
        if self.random.percent(40) {
            let limit = *self.random.pick(&["1", "1", "2", "3", "0", "-1", "x"]);
            request = request.query("limit", limit);
        }
        if self.random.percent(25)
            && let Some(label) = self.lists.last().cloned()
        {
            request = request.query("continue", format!("${{continue:{label}}}"));
        }
        if self.random.percent(25) {
            let version = match self.random.below(8) {
                0 | 1 => "0".to_owned(),
                2 => "x".to_owned(),
                3 => "-1".to_owned(),
                _ => self.a_revision(),
            };
            request = request.query("resourceVersion", version);
        }
        if self.random.percent(20) {
            let how = *self.random.pick(&["Exact", "Exact", "NotOlderThan", "NotOlderThan", "Other"]);
            request = request.query("resourceVersionMatch", how);
        }
        let request = self.accept(request);
        let label = self.send(request);
        self.lists.push(label.clone());
        // Often the next page, by all rules.
        if self.random.percent(40) && self.next_page(&label).is_some() && self.random.percent(40) {
            self.next_page(&label);
        }
    }

    fn next_page(&mut self, label: &str) -> Option<String> {
        let step = self.steps.iter().find(|step| step.label == label)?;
        let Action::Send(first) = &step.action else { return None };
        let mut next = first.clone();
        let paged = next.query.iter().any(|(name, value)| name == "limit" && value.parse::<u8>().is_ok_and(|n| n > 0));
        if !paged {
            return None;
        }
        next.query
            .retain(|(name, _)| !matches!(name.as_str(), "continue" | "resourceVersion" | "resourceVersionMatch"));
        let label = self.send(next.query("continue", format!("${{continue:{label}}}")));
        self.lists.push(label.clone());
        Some(label)
    }

    pub(super) fn watch(&mut self) {
        let mut request = self.selected("GET").query("watch", *self.random.pick(&["true", "1"]));
        let version = match self.random.below(10) {
            0..4 => None,
            4..6 => Some("0".to_owned()),
            6 => Some("x".to_owned()),
            _ => Some(self.a_revision()),
        };
        let initial = self.random.percent(20);
        if initial {
            request = request.query("sendInitialEvents", *self.random.pick(&["true", "true", "false"]));
        }
        if initial && self.random.percent(85) || self.random.percent(4) {
            request =
                request.query("resourceVersionMatch", *self.random.pick(&["NotOlderThan", "NotOlderThan", "Exact"]));
        }
        if let Some(version) = version {
            request = request.query("resourceVersion", version);
        }
        if initial || self.random.percent(30) {
            request = request.query("allowWatchBookmarks", "true");
        }
        let request = self.accept(request.query("timeoutSeconds", "300"));
        let label = self.push(Action::Watch(request));
        self.open = Some(label);
    }
}
