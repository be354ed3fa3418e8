//! What the baseline level forbids: known ways to more rights than a pod should have.

use std::collections::BTreeSet;

use serde_json::Value;

use super::checks::{Pod, Violation, bad_values, name, named, plural, quoted, security, setters, texts, violation};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// With the minor version that allowed them first.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

const SELINUX_TYPES: [(&str, u32); 5] =
    [("", 0), ("container_t", 0), ("container_init_t", 0), ("container_kvm_t", 0), ("container_engine_t", 31)];

pub fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    let (of_pod, containers, values) =
        bad_values(pod, ["appArmorProfile", "type"], |kind| matches!(kind, "RuntimeDefault" | "Localhost"));
    let allowed = |profile: &str| matches!(profile, "" | "runtime/default") || profile.starts_with("localhost/");
    let annotations = pod.annotations.as_object().into_iter().flatten().filter_map(|(key, value)| {
        let profile = value.as_str().filter(|profile| key.starts_with(APP_ARMOR) && !allowed(profile))?;
        Some(format!("{key}={profile:?}"))
    });
    let annotations: Vec<String> = annotations.collect();
    let by_annotation = (!annotations.is_empty()).then(|| plural("annotation", annotations.len()));
    let setters: Vec<String> = setters(of_pod, &containers).into_iter().chain(by_annotation).collect();
    let values: Vec<String> = values.into_iter().map(str::to_owned).chain(annotations).collect();
    if setters.is_empty() {
        return None;
    }
    let detail = format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(&values));
    violation(&plural("forbidden AppArmor profile", values.len()), detail)
}

pub fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let added = |container: &Value| {
        let added = security(container)["capabilities"]["add"].as_array().map_or(&[][..], Vec::as_slice);
        texts(added).into_iter().filter(|name| !CAPABILITIES.contains(name)).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let containers = pod.those(|container| !added(container).is_empty());
    let names: BTreeSet<String> = pod.containers().flat_map(added).collect();
    if containers.is_empty() {
        return None;
    }
    let who = named("container", &containers);
    violation(
        "non-default capabilities",
        format!("{who} must not include {} in securityContext.capabilities.add", quoted(names)),
    )
}

pub fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|key| pod.spec[*key] == true);
    let shared: Vec<String> = shared.map(|key| format!("{key}=true")).collect();
    if shared.is_empty() { None } else { violation("host namespaces", shared.join(", ")) }
}

pub fn host_paths(pod: &Pod<'_>) -> Option<Violation> {
    let volumes = pod.spec["volumes"].as_array().into_iter().flatten();
    let names: Vec<&str> = volumes.filter(|volume| volume["hostPath"].is_object()).map(name).collect();
    if names.is_empty() { None } else { violation("hostPath volumes", named("volume", &names)) }
}

pub fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let ports = |container: &Value| {
        let ports = container["ports"].as_array().into_iter().flatten();
        let ports = ports.filter_map(|port| port["hostPort"].as_i64()).filter(|port| *port != 0);
        ports.map(|port| port.to_string()).collect::<BTreeSet<String>>()
    };
    let containers = pod.those(|container| !ports(container).is_empty());
    let all: BTreeSet<String> = pod.containers().flat_map(ports).collect();
    if containers.is_empty() {
        return None;
    }
    let (verb, ports) = (if containers.len() == 1 { "uses" } else { "use" }, plural("hostPort", all.len()));
    let all = all.into_iter().collect::<Vec<_>>().join(", ");
    violation("hostPort", format!("{} {verb} {ports} {all}", named("container", &containers)))
}

pub fn probe_hosts(pod: &Pod<'_>) -> Option<Violation> {
    let hosts = |container: &Value| {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|key| &container[key]);
        let hooks = ["postStart", "preStop"].map(|key| &container["lifecycle"][key]);
        let handlers = probes.into_iter().chain(hooks);
        let hosts = handlers.flat_map(|handler| ["httpGet", "tcpSocket"].map(|kind| &handler[kind]["host"]));
        hosts.filter_map(Value::as_str).filter(|host| !host.is_empty()).map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let mut containers = pod.those(|container| !hosts(container).is_empty());
    containers.sort_unstable();
    let all: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    if containers.is_empty() {
        return None;
    }
    let verb = if containers.len() == 1 { "uses" } else { "use" };
    let what = plural("probe or lifecycle host", all.len());
    violation("probe or lifecycle host", format!("{} {verb} {what} {}", named("container", &containers), quoted(all)))
}

pub fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let containers = pod.those(|container| security(container)["privileged"] == true);
    if containers.is_empty() {
        return None;
    }
    violation("privileged", format!("{} must not set securityContext.privileged=true", named("container", &containers)))
}

/// Pods with users of their own may see more of /proc.
pub fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { any_proc_mount(pod) }
}

pub fn any_proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let kind = |container: &Value| {
        security(container)["procMount"].as_str().filter(|kind| *kind != "Default").map(str::to_owned)
    };
    let containers = pod.those(|container| kind(container).is_some());
    let kinds: BTreeSet<String> = pod.containers().filter_map(kind).collect();
    if containers.is_empty() {
        return None;
    }
    let who = named("container", &containers);
    violation("procMount", format!("{who} must not set securityContext.procMount to {}", quoted(kinds)))
}

pub fn selinux(pod: &Pod<'_>) -> Option<Violation> {
    let allowed = |kind: &str| SELINUX_TYPES.iter().any(|(name, since)| *name == kind && pod.minor >= *since);
    let options = |owner: &Value| security(owner)["seLinuxOptions"].clone();
    let sets = |options: &Value, key: &str| options[key].as_str().is_some_and(|text| !text.is_empty());
    let kind = |options: &Value| options["type"].as_str().unwrap_or_default().to_owned();
    let is_bad = |owner: &Value| {
        let options = options(owner);
        !allowed(&kind(&options)) || sets(&options, "user") || sets(&options, "role")
    };
    let containers = pod.those(is_bad);
    let setters = setters(is_bad(pod.spec), &containers)?;
    let all: Vec<Value> = pod.containers().chain([pod.spec]).map(options).collect();
    let kinds: BTreeSet<String> = all.iter().map(kind).filter(|kind| !allowed(kind)).collect();
    let mut bad = Vec::new();
    if !kinds.is_empty() {
        bad.push(format!("{} {}", plural("type", kinds.len()), quoted(kinds)));
    }
    for key in ["user", "role"] {
        if all.iter().any(|options| sets(options, key)) {
            bad.push(format!("{key} may not be set"));
        }
    }
    let detail = format!("{setters} set forbidden securityContext.seLinuxOptions: {}", bad.join("; "));
    violation("seLinuxOptions", detail)
}

pub fn is_seccomp_profile(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

pub fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    if pod.minor < 19 {
        return seccomp_annotations(pod);
    }
    let (of_pod, containers, values) = bad_values(pod, ["seccompProfile", "type"], is_seccomp_profile);
    let who = setters(of_pod, &containers)?;
    violation("seccompProfile", format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values)))
}

fn seccomp_annotations(pod: &Pod<'_>) -> Option<Violation> {
    let allowed =
        |profile: &str| matches!(profile, "runtime/default" | "docker/default") || profile.starts_with("localhost/");
    let keys = pod.containers().map(|container| format!("{SECCOMP}{}", name(container)));
    let forbidden = keys.chain([SECCOMP_OF_POD.to_owned()]).filter_map(|key| {
        let profile = pod.annotations[&key].as_str().filter(|profile| !allowed(profile))?;
        Some(format!("{key}={profile:?}"))
    });
    let forbidden: BTreeSet<String> = forbidden.collect();
    if forbidden.is_empty() {
        return None;
    }
    let what = plural("annotation", forbidden.len());
    violation("seccompProfile", format!("forbidden {what} {}", forbidden.into_iter().collect::<Vec<_>>().join(", ")))
}

pub fn sysctls(pod: &Pod<'_>) -> Option<Violation> {
    let allowed = |name: &str| SYSCTLS.iter().any(|(known, since)| *known == name && pod.minor >= *since);
    let all = security(pod.spec)["sysctls"].as_array().into_iter().flatten();
    let forbidden: Vec<&str> = all.map(name).filter(|name| !allowed(name)).collect();
    if forbidden.is_empty() { None } else { violation("forbidden sysctls", forbidden.join(", ")) }
}

pub fn host_process(pod: &Pod<'_>) -> Option<Violation> {
    let is_set = |owner: &Value| security(owner)["windowsOptions"]["hostProcess"] == true;
    let who = setters(is_set(pod.spec), &pod.those(is_set))?;
    violation("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::checks::examine;
    use super::super::level::{Level, Standard};

    #[test]
    fn a_plain_pod_may_run() {
        let pod = json!({"spec": {"containers": [{"name": "a"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
        assert!(examine(&pod, Standard { level: Level::Baseline, version: None }).is_empty());
    }

    /// Version, pod, details.
    fn check(table: impl IntoIterator<Item = (Option<u32>, Value, &'static str)>) {
        for (version, pod, expected) in table {
            let found = examine(&pod, Standard { level: Level::Baseline, version });
            assert_eq!(found.details(), expected, "{pod}");
        }
    }

    #[test]
    fn ways_to_more_rights_are_forbidden() {
        let container = |name: &str, context| json!({"name": name, "securityContext": context});
        let one = |context| json!({"spec": {"containers": [container("a", context)]}});
        let table = [
            (
                None,
                json!({"spec": {"hostNetwork": true, "hostIPC": true}}),
                "host namespaces (hostNetwork=true, hostIPC=true)",
            ),
            (
                None,
                json!({"spec": {"initContainers": [container("i", json!({"privileged": true}))], "containers": [container("a", json!({"privileged": true}))]}}),
                "privileged (containers \"i\", \"a\" must not set securityContext.privileged=true)",
            ),
            (
                None,
                one(json!({"capabilities": {"add": ["SYS_ADMIN", "CHOWN", "BPF"]}})),
                "non-default capabilities (container \"a\" must not include \"BPF\", \"SYS_ADMIN\" in securityContext.capabilities.add)",
            ),
            (
                None,
                json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}], "containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]}}),
                "hostPath volumes (volume \"v\"), hostPort (container \"a\" uses hostPorts 443, 80)",
            ),
            (
                None,
                json!({"spec": {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]}}),
                "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"h\")",
            ),
            (
                Some(33),
                json!({"spec": {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]}}),
                "",
            ),
            (
                None,
                one(json!({"procMount": "Unmasked"})),
                "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
            ),
            (
                None,
                json!({"spec": {"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}, "containers": [container("a", json!({"seLinuxOptions": {"role": "r"}}))]}}),
                "seLinuxOptions (pod and container \"a\" set forbidden securityContext.seLinuxOptions: type \"x\"; user may not be set; role may not be set)",
            ),
            (None, one(json!({"seLinuxOptions": {"type": "container_engine_t"}})), ""),
            (
                Some(30),
                one(json!({"seLinuxOptions": {"type": "container_engine_t"}})),
                "seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
            ),
        ];
        check(table);
    }

    #[test]
    fn old_versions_forbid_more_or_otherwise() {
        let one = |context| json!({"spec": {"containers": [{"name": "a", "securityContext": context}]}});
        let table = [
            (
                None,
                one(json!({"seccompProfile": {"type": "Unconfined"}})),
                "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
            ),
            (
                Some(18),
                json!({"metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}, "spec": {}}),
                "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
            ),
            (
                Some(31),
                json!({"spec": {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.shm_rmid_forced"}]}}}),
                "forbidden sysctls (net.ipv4.tcp_rmem)",
            ),
            (
                None,
                json!({"spec": {"securityContext": {"windowsOptions": {"hostProcess": true}}}}),
                "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
            ),
            (
                None,
                json!({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}},
                    "spec": {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}}),
                "forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to \"Unconfined\", \
                 \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")",
            ),
        ];
        check(table);
    }
}
