//! The order of groups, and of versions in them, in what clients are told: of two groups with a resource of one name the first wins.

/// Of the built-in ones, by group and version (`DefaultGenericAPIServicePriorities` and kube-apiserver's own).
const BUILT_IN: [(&str, &str, i64, i64); 31] = [
    ("", "v1", 18_000, 1),
    ("apps", "v1", 17_800, 15),
    ("events.k8s.io", "v1", 17_750, 15),
    ("authentication.k8s.io", "v1", 17_700, 15),
    ("authentication.k8s.io", "v1beta1", 17_700, 9),
    ("authorization.k8s.io", "v1", 17_600, 15),
    ("autoscaling", "v1", 17_500, 15),
    ("autoscaling", "v2", 17_500, 30),
    ("batch", "v1", 17_400, 15),
    ("certificates.k8s.io", "v1", 17_300, 15),
    ("certificates.k8s.io", "v1beta1", 17_300, 9),
    ("networking.k8s.io", "v1", 17_200, 15),
    ("networking.k8s.io", "v1beta1", 17_200, 9),
    ("policy", "v1", 17_100, 15),
    ("rbac.authorization.k8s.io", "v1", 17_000, 15),
    ("storage.k8s.io", "v1", 16_800, 15),
    ("storage.k8s.io", "v1beta1", 16_800, 9),
    ("apiextensions.k8s.io", "v1", 16_700, 15),
    ("admissionregistration.k8s.io", "v1", 16_700, 15),
    ("admissionregistration.k8s.io", "v1beta1", 16_700, 12),
    ("scheduling.k8s.io", "v1", 16_600, 15),
    ("coordination.k8s.io", "v1", 16_500, 15),
    ("coordination.k8s.io", "v1beta1", 16_500, 13),
    ("node.k8s.io", "v1", 16_300, 15),
    ("discovery.k8s.io", "v1", 16_200, 15),
    ("resource.k8s.io", "v1", 16_200, 21),
    ("resource.k8s.io", "v1beta2", 16_200, 15),
    ("resource.k8s.io", "v1beta1", 16_200, 9),
    ("flowcontrol.apiserver.k8s.io", "v1", 16_100, 21),
    ("internal.apiserver.k8s.io", "v1alpha1", 16_000, 9),
    ("storagemigration.k8s.io", "v1beta1", 15_800, 9),
];

/// Of custom resources.
pub(super) const CUSTOM: (i64, i64) = (1000, 100);

/// Of a group and a version in it; `None` of what is not built in.
pub(super) fn built_in(group: &str, version: &str) -> Option<(i64, i64)> {
    let found = BUILT_IN.iter().find(|(own, of, ..)| *own == group && *of == version)?;
    Some((found.2, found.3))
}

/// Of a group: the highest of its versions. Those that nobody gave one are custom.
pub(super) fn of_group(group: &str) -> i64 {
    if group == super::GROUP {
        // It is always the first one.
        return 20_000;
    }
    let own = BUILT_IN.iter().filter(|(own, ..)| *own == group).map(|(.., priority, _)| *priority);
    own.max().unwrap_or(CUSTOM.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn all_that_is_built_in_has_its_place() {
        for row in Registry::built_in().all().filter(|row| row.info.group != super::super::GROUP) {
            assert!(built_in(&row.info.group, &row.info.version).is_some(), "{}", row.info.api_version());
        }
        assert_eq!((of_group("apps"), of_group("example.com")), (17_800, 1000));
    }

    /// The order of documents is written down in `api::discovery` as well.
    #[test]
    fn the_order_is_that_of_discovery() {
        let infos = Registry::built_in().infos();
        let groups = api::discovery::groups(&infos);
        let order: Vec<(i64, &str)> = groups[1..].iter().map(|group| (-of_group(group), *group)).collect();
        assert!(order.is_sorted(), "{order:?}");
    }
}
