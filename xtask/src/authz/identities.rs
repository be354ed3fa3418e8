//! Who asks.

use serde_json::{Map, Value, json};

/// A user and its groups, as authentication makes them.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub user: &'static str,
    pub groups: &'static [&'static str],
}

const KNOWN: &str = "system:authenticated";
const ACCOUNTS: &[&str] = &["system:serviceaccounts", "system:serviceaccounts:kube-system", KNOWN];

const fn known(user: &'static str) -> Identity {
    Identity { user, groups: &[KNOWN] }
}

const fn controller(user: &'static str) -> Identity {
    Identity { user, groups: ACCOUNTS }
}

/// Those without a word of their own in the system are bound by [`super::world`].
pub const ALL: &[Identity] = &[
    Identity { user: "system:admin", groups: &["system:masters", KNOWN] },
    known("bound-cluster-admin"),
    known("bound-admin"),
    known("bound-edit"),
    known("bound-view"),
    known("bound-everywhere"),
    known("bound-by-name"),
    known("bound-to-nothing"),
    known("nobody"),
    Identity { user: "system:anonymous", groups: &["system:unauthenticated"] },
    Identity { user: "system:node:mine", groups: &["system:nodes", KNOWN] },
    Identity { user: "system:node:idle", groups: &["system:nodes", KNOWN] },
    Identity { user: "system:node:", groups: &["system:nodes", KNOWN] },
    Identity { user: "system:bootstrap:abcdef", groups: &["system:bootstrappers", KNOWN] },
    Identity { user: "watcher", groups: &["system:monitoring", KNOWN] },
    known("system:kube-proxy"),
    known("system:kube-scheduler"),
    known("system:kube-controller-manager"),
    controller("system:serviceaccount:kube-system:certificate-controller"),
    controller("system:serviceaccount:kube-system:clusterrole-aggregation-controller"),
    controller("system:serviceaccount:kube-system:deployment-controller"),
    controller("system:serviceaccount:kube-system:generic-garbage-collector"),
    controller("system:serviceaccount:kube-system:namespace-controller"),
    controller("system:serviceaccount:kube-system:token-cleaner"),
    Identity {
        user: "system:serviceaccount:team:default",
        groups: &["system:serviceaccounts", "system:serviceaccounts:team", KNOWN],
    },
];

impl Identity {
    /// The part of a SubjectAccessReview that names it.
    pub fn spec(&self) -> Map<String, Value> {
        let mut spec = Map::new();
        spec.insert("user".to_owned(), self.user.into());
        spec.insert("groups".to_owned(), json!(self.groups));
        spec
    }

    /// Headers by which the administrator is it. The group that says whether it is known comes by itself.
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        let groups = self.groups.iter().filter(|group| !group.ends_with("authenticated"));
        let groups = groups.map(|group| ("impersonate-group", *group));
        [("impersonate-user", self.user)].into_iter().chain(groups).collect()
    }
}
