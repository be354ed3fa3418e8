//! Values of fields: what a schema allows, with words that mean something where a field is an enumeration.

use api::schema::{Field, Scalar, SchemaSet, Shape, TypeId};
use serde_json::{Map, Value, json};

use super::random::Random;

/// Values of enumerations, by Go type; the last one of each is none of them.
const WORDS: &[(&str, &[&str])] = &[
    ("v1.DNSPolicy", &["ClusterFirst", "Default", "None", "ClusterFirstWithHostNet", "default"]),
    ("v1.RestartPolicy", &["Always", "Never", "OnFailure", "always"]),
    ("v1.ContainerRestartPolicy", &["Always", "Never", "OnFailure", ""]),
    ("v1.PullPolicy", &["Always", "Never", "IfNotPresent", "never"]),
    ("v1.Protocol", &["TCP", "UDP", "SCTP", "tcp"]),
    ("v1.URIScheme", &["HTTP", "HTTPS", "http"]),
    ("v1.TerminationMessagePolicy", &["File", "FallbackToLogsOnError", "Log"]),
    ("v1.TaintEffect", &["NoSchedule", "PreferNoSchedule", "NoExecute", "No"]),
    ("v1.TolerationOperator", &["Exists", "Equal", "In"]),
    ("v1.NodeSelectorOperator", &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "in"]),
    ("v1.LabelSelectorOperator", &["In", "NotIn", "Exists", "DoesNotExist", "Gt"]),
    ("v1.MountPropagationMode", &["None", "HostToContainer", "Bidirectional", "Both"]),
    ("v1.RecursiveReadOnlyMode", &["Disabled", "IfPossible", "Enabled", "On"]),
    ("v1.StorageMedium", &["", "Memory", "HugePages", "Disk"]),
    ("v1.HostPathType", &["", "Directory", "File", "Socket", "Dir"]),
    ("v1.SeccompProfileType", &["RuntimeDefault", "Unconfined", "Localhost", "None"]),
    ("v1.PodFSGroupChangePolicy", &["Always", "OnRootMismatch", "Never"]),
    ("v1.SupplementalGroupsPolicy", &["Merge", "Strict", "None"]),
    ("v1.UnsatisfiableConstraintAction", &["DoNotSchedule", "ScheduleAnyway", "Do"]),
    ("v1.NodeInclusionPolicy", &["Honor", "Ignore", "None"]),
    ("v1.PreemptionPolicy", &["PreemptLowerPriority", "Never", "Always"]),
    ("v1.ResourceResizeRestartPolicy", &["NotRequired", "RestartContainer", "None"]),
    ("v1.DeploymentStrategyType", &["RollingUpdate", "Recreate", "Rolling"]),
    ("v1.ServiceType", &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "None"]),
    ("v1.ServiceAffinity", &["None", "ClientIP", "IP"]),
    ("v1.ServiceInternalTrafficPolicy", &["Cluster", "Local", "None"]),
    ("v1.ServiceExternalTrafficPolicy", &["Cluster", "Local", "None"]),
    ("v1.IPFamilyPolicy", &["SingleStack", "PreferDualStack", "RequireDualStack", "Dual"]),
    ("v1.ConditionStatus", &["True", "False", "Unknown", "true"]),
    ("v1.PodPhase", &["Pending", "Running", "Succeeded", "Failed", "Gone"]),
    ("v1.PodQOSClass", &["BestEffort", "Burstable", "Guaranteed", "Best"]),
    ("v1.NamespacePhase", &["Active", "Terminating", "Gone"]),
    ("v1.VolumeBindingMode", &["Immediate", "WaitForFirstConsumer", "Now"]),
    ("v1.PersistentVolumeReclaimPolicy", &["Delete", "Retain", "Recycle", "Keep"]),
    ("v1.PersistentVolumeMode", &["Filesystem", "Block", "File"]),
    ("v1.PersistentVolumeAccessMode", &["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod", "Read"]),
    ("v1.PersistentVolumePhase", &["Pending", "Available", "Bound", "Released", "Failed", "Gone"]),
    ("v1.PersistentVolumeClaimPhase", &["Pending", "Bound", "Lost", "Gone"]),
    ("v1.ClaimResourceStatus", &["NodeResizePending", "ControllerResizeInProgress", "Waiting"]),
    ("v1.AzureDataDiskKind", &["Shared", "Managed", "Dedicated", "Own"]),
    ("v1.AzureDataDiskCachingMode", &["None", "ReadOnly", "ReadWrite", "Write"]),
    ("v1.PersistentVolumeClaimRetentionPolicyType", &["Retain", "Delete", "Keep"]),
    ("v1.PodManagementPolicyType", &["OrderedReady", "Parallel", "Any"]),
    ("v1.StatefulSetUpdateStrategyType", &["RollingUpdate", "OnDelete", "Rolling"]),
    ("v1.DaemonSetUpdateStrategyType", &["RollingUpdate", "OnDelete", "Rolling"]),
    ("v1.PolicyType", &["Ingress", "Egress", "Both"]),
    ("v1.LimitType", &["Pod", "Container", "PersistentVolumeClaim", "example.com/x", "Node"]),
    ("v1.ResourceQuotaScope", &["Terminating", "NotTerminating", "BestEffort", "PriorityClass", "All"]),
    ("v1.ScopeSelectorOperator", &["In", "NotIn", "Exists", "DoesNotExist", "Gt"]),
    ("v1.SecretType", &["Opaque", "kubernetes.io/tls", "kubernetes.io/basic-auth", "example.com/x", ""]),
    ("v1.UnhealthyPodEvictionPolicyType", &["IfHealthyBudget", "AlwaysAllow", "Never"]),
    ("v1.PathType", &["Exact", "Prefix", "ImplementationSpecific", "Any"]),
    ("v1.FSGroupPolicy", &["ReadWriteOnceWithFSType", "File", "None", "All"]),
    ("v1.VolumeLifecycleMode", &["Persistent", "Ephemeral", "Long"]),
    ("v1.CompletionMode", &["NonIndexed", "Indexed", "All"]),
    ("v1.PodReplacementPolicy", &["TerminatingOrFailed", "Failed", "Never"]),
    ("v1.PodFailurePolicyAction", &["FailJob", "Ignore", "Count", "FailIndex", "Retry"]),
    ("v1.PodFailurePolicyOnExitCodesOperator", &["In", "NotIn", "Exists"]),
    ("v1.ConcurrencyPolicy", &["Allow", "Forbid", "Replace", "Wait"]),
    ("v1.JobConditionType", &["Complete", "Failed", "Suspended", "FailureTarget", "Done"]),
    ("v2.MetricSourceType", &["Resource", "Object", "Pods", "External", "ContainerResource", "CPU"]),
    ("v2.MetricTargetType", &["Utilization", "Value", "AverageValue", "Average"]),
    ("v2.ScalingPolicySelect", &["Max", "Min", "Disabled", "None"]),
    ("v2.HPAScalingPolicyType", &["Pods", "Percent", "Share"]),
    ("v1.KeyUsage", &["client auth", "server auth", "digital signature", "signing auth"]),
    ("v1.RequestConditionType", &["Approved", "Denied", "Failed", "Done"]),
    ("v1.FailurePolicyType", &["Ignore", "Fail", "Retry"]),
    ("v1.MatchPolicyType", &["Exact", "Equivalent", "Any"]),
    ("v1.SideEffectClass", &["None", "NoneOnDryRun", "Some"]),
    ("v1.ScopeType", &["Cluster", "Namespaced", "*", "All"]),
    ("v1.OperationType", &["CREATE", "UPDATE", "DELETE", "CONNECT", "READ"]),
    ("v1.ReinvocationPolicyType", &["Never", "IfNeeded", "Always"]),
    ("v1.ValidationAction", &["Deny", "Warn", "Audit", "Refuse"]),
    ("v1.ParameterNotFoundActionType", &["Allow", "Deny", "Skip"]),
    ("v1.PriorityLevelEnablement", &["Limited", "Exempt", "Open"]),
    ("v1.LimitResponseType", &["Queue", "Reject", "Wait"]),
    ("v1.FlowDistinguisherMethodType", &["ByUser", "ByNamespace", "ByName"]),
    ("v1.SubjectKind", &["User", "Group", "ServiceAccount", "Robot"]),
    ("v1.DeviceAllocationMode", &["ExactCount", "All", "Some"]),
    ("v1.DeviceTolerationOperator", &["Exists", "Equal", "In"]),
    ("v1.DeviceTaintEffect", &["NoSchedule", "NoExecute", "None", "No"]),
    ("v1.OSName", &["linux", "windows", "plan9"]),
    ("v1.NodeAddressType", &["InternalIP", "Hostname", "ExternalIP", "X"]),
    ("v1.ProcMountType", &["Default", "Unmasked", "None"]),
    ("v1.Signal", &["SIGTERM", "SIGINT", "TERM"]),
    ("v1.CoordinatedLeaseStrategy", &["OldestEmulationVersion", "example.com/x", "x"]),
];

/// Values of fields that are known by their names; the last one of each is bad.
const NAMED: &[(&str, &[&str])] = &[
    ("ip", &["10.1.2.3", "10.1.2.4", "1.2.3"]),
    ("hostIP", &["10.1.2.3", "0.0.0.0", "localhost"]),
    ("clusterIP", &["None", "10.96.7.7", "", "1.2.3.4"]),
    ("ipFamilies", &["IPv4", "IPv6", "IPv5"]),
    ("cidr", &["10.0.0.0/8", "10.1.0.1/16", "2001:DB8::/32", "10.0.0.0/33"]),
    ("except", &["10.1.0.0/24", "10.0.0.0/08", "11.0.0.0/24", "10.0.0.0"]),
    ("iqn", &["iqn.2026-01.com.example:a", "eui.0123456789abcdef", "x"]),
    ("initiatorName", &["iqn.2026-01.com.example:b", "naa.0", "x"]),
    ("image", &["i:1", "i:2", " i"]),
    ("mountPath", &["/a", "/b", "a:b"]),
    ("path", &["/a", "b", "../c"]),
    ("key", &["a", "b", "example.com/a", "a b"]),
    ("topologyKey", &["kubernetes.io/hostname", "zone", "a b"]),
    ("name", &["a", "b", "c", "Not_A_Name"]),
    ("kind", &["ConfigMap", "User", "Group", "ServiceAccount", "Role", "X"]),
    ("apiGroup", &["rbac.authorization.k8s.io", "", "apps", "x y"]),
    ("addressType", &["IPv4", "IPv6", "FQDN", "X"]),
    ("resource", &["limits.cpu", "requests.memory", "cpu", "x"]),
    ("fieldPath", &["metadata.name", "status.podIP", "metadata.labels['a']", "spec.x"]),
    ("divisor", &["1", "1m", "1Mi", "3"]),
    ("host", &["a.example.com", "*.example.com", "a_b"]),
    ("schedule", &["* * * * *", "@hourly", "0 0 31 2 *", "61 * * * *"]),
    ("timeZone", &["Europe/Berlin", "Etc/UTC", "Local", "Mars/Base"]),
    ("cidrs", &["10.201.0.0/24", "2001:db8::/112", "10.201.0.1/24"]),
    ("signerName", &["example.com/s", "example.com/t", "s"]),
    ("apiGroups", &["none.example.com", "more.example.com", "Not A Group"]),
    ("managedBy", &["example.com/c", "kubernetes.io/job-controller", "c"]),
    ("driver", &["d.example.com", "e.example.com", "D_"]),
    ("driverName", &["d.example.com", "e.example.com", "D_"]),
    ("deviceClassName", &["c", "c.example.com", "C_"]),
    ("externalName", &["example.com", "a.b", "A_B"]),
    ("serviceAccountName", &["default", "a", "A"]),
    ("runtimeClassName", &["a", "A"]),
    ("priorityClassName", &["system-node-critical", "", "unknown"]),
    ("nodeName", &["n", "N_"]),
    ("hostname", &["h", "h.h"]),
    ("subdomain", &["s", "S_"]),
    ("type", &["a", "Normal", "Warning", ""]),
    ("verbs", &["get", "*", ""]),
    ("schedulerName", &["default-scheduler", "x", "x y"]),
    ("provisioner", &["p.example/y", "p", "p p/"]),
    ("containerID", &["containerd://x", "x"]),
];

const QUANTITIES: &[&str] =
    &["1", "100m", "1Gi", "0", "1e3", "0.5", "1500m", "128974848", "1.5Gi", "-1", "x", "1 Gi", ""];

/// A value of a field. `wild` is how often, in percent, it may be one that its kind does not allow.
pub fn field(random: &mut Random, field: &Field, depth: usize, wild: usize) -> Value {
    shape(random, &field.shape, field, depth, wild)
}

fn shape(random: &mut Random, shaped: &Shape, of: &Field, depth: usize, wild: usize) -> Value {
    match shaped {
        Shape::Scalar(scalar) => leaf(random, *scalar, of, wild),
        Shape::Struct(id) => object(random, *id, depth, wild),
        Shape::List(element) => {
            let count = random.weighted(&[1, 6, 2]);
            (0..count).map(|_| shape(random, element, of, depth, wild)).collect()
        }
        Shape::Map(element) => {
            let keys: &[&str] = match of.go_type.as_deref() {
                Some("v1.ResourceList") => {
                    &["cpu", "memory", "ephemeral-storage", "storage", "example.com/x", "pods", "x y"]
                }
                _ => &["a", "b", "example.com/c", "a b"],
            };
            let count = random.weighted(&[1, 6, 2]);
            let pairs = (0..count).map(|_| {
                let bad = random.percent(wild);
                let key = if bad { keys[keys.len() - 1] } else { keys[random.below(keys.len() - 1)] };
                (key.to_owned(), shape(random, element, of, depth, wild))
            });
            Value::Object(pairs.collect())
        }
    }
}

/// A struct with what it must have and something of what it may have.
pub fn object(random: &mut Random, ty: TypeId, depth: usize, wild: usize) -> Value {
    let set = SchemaSet::builtin();
    let fields = &set.get(ty).fields;
    let mut object = Map::new();
    for one in fields.iter().filter(|field| field.required) {
        if !random.percent(wild / 3) {
            object.insert(one.name.clone(), field(random, one, depth.saturating_sub(1), wild));
        }
    }
    if depth > 0 && !fields.is_empty() {
        for _ in 0..random.weighted(&[1, 4, 2]) {
            let one = random.pick(fields);
            object.insert(one.name.clone(), field(random, one, depth - 1, wild));
        }
    }
    Value::Object(object)
}

fn leaf(random: &mut Random, scalar: Scalar, of: &Field, wild: usize) -> Value {
    match scalar {
        Scalar::String => text(random, of, wild).into(),
        Scalar::Boolean => random.percent(50).into(),
        Scalar::Int32 | Scalar::Int64 | Scalar::Float64 => number(random, of, wild),
        Scalar::Bytes => (*random.pick(&["MQ==", "", "YWJj"])).into(),
        Scalar::Time => (*random.pick(&["2026-01-02T03:04:05Z", "2025-06-01T00:00:00Z"])).into(),
        Scalar::MicroTime => (*random.pick(&["2026-01-02T03:04:05.000000Z", "2025-06-01T00:00:00.123456Z"])).into(),
        Scalar::Duration => (*random.pick(&["5s", "1h0m0s"])).into(),
        Scalar::Quantity => {
            let good = QUANTITIES.len() - 4;
            let at = if random.percent(wild) { good + random.below(4) } else { random.below(good) };
            QUANTITIES[at].into()
        }
        Scalar::IntOrString => match random.below(4) {
            0 => json!("25%"),
            1 => json!("http"),
            _ => json!(random.below(100)),
        },
        Scalar::FieldsV1 => json!({"f:data": {}}),
        Scalar::RawExtension | Scalar::Any => json!({"a": 1}),
    }
}

fn text(random: &mut Random, of: &Field, wild: usize) -> String {
    let by_type = of.go_type.as_deref().and_then(|go| WORDS.iter().find(|(name, _)| *name == go));
    let words = by_type
        .or_else(|| NAMED.iter().find(|(name, _)| *name == of.name))
        .map_or(&["a", "b", "a-b", "A b"] as &[&str], |(_, words)| words);
    let bad = words.len() - 1;
    let at = if bad == 0 || random.percent(wild) { bad } else { random.below(bad) };
    words[at].to_owned()
}

fn number(random: &mut Random, of: &Field, wild: usize) -> Value {
    if random.percent(wild) {
        return random.pick(&[json!(-1), json!(0), json!(70000), json!(2_147_483_647)]).clone();
    }
    if of.name.ends_with("ort") { json!(1 + random.below(3) * 40) } else { json!(1 + random.below(9)) }
}

#[cfg(test)]
mod tests {
    use super::super::kinds;
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_object() {
        for (kind, ty) in kinds::all().filter_map(|kind| Some((kind, kind.schema()?))) {
            let make = |seed| object(&mut Random::new(seed), ty, 4, 10);
            assert_eq!(make(7), make(7), "{}", kind.kind);
        }
    }
}
