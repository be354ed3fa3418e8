//! Validation of what containers on Windows may ask for.

use api::names;
use serde_json::Value;

use super::super::cursor::{Cursor, Errors};

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
const MAX_SPEC_KIB: usize = 64;
const MAX_DOMAIN: usize = 256;
const MAX_USER: usize = 104;
const NOT_IN_USERS: &str = "\"/\\:;|=,+*?<>@[]";
const NOT_IN_DOMAINS: &str = "\\/:*?\"<>|";

/// A `windowsOptions`.
pub fn options(at: &Cursor, errors: &mut Errors) {
    let name = at.child("gmsaCredentialSpecName");
    if name.is_set() {
        errors.messages(&name, names::dns1123_subdomain(name.str()));
    }
    let spec = at.child("gmsaCredentialSpec");
    if spec.is_set() && spec.str().is_empty() {
        errors.invalid(&spec, "gmsaCredentialSpec cannot be an empty string");
    } else if spec.str().len() > MAX_SPEC_KIB * 1024 {
        errors.invalid(&spec, format!("gmsaCredentialSpec size must be under {MAX_SPEC_KIB} KiB"));
    }
    let user = at.child("runAsUserName");
    if user.is_set() {
        for detail in user_name(user.str()) {
            errors.invalid(&user, format!("runAsUserName{detail}"));
        }
    }
}

/// What is wrong with `DOMAIN\user` or `user`.
fn user_name(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec![" cannot be an empty string".to_owned()];
    }
    if text.contains(|c: char| c.is_ascii_control()) {
        return vec![" cannot contain control characters".to_owned()];
    }
    let parts: Vec<&str> = text.split('\\').collect();
    let (domain, user) = match parts[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec![" cannot contain more than one backslash".to_owned()],
    };
    let mut details = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= MAX_DOMAIN) {
        details.push(format!("'s Domain length must be under {MAX_DOMAIN} characters"));
    }
    if domain.is_some_and(|domain| !is_net_bios(domain) && !names::dns1123_subdomain(domain).is_empty()) {
        details.push("'s Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    if user.is_empty() {
        details.push("'s User cannot be empty".to_owned());
    } else if user.len() > MAX_USER {
        details.push(format!("'s User length must not be longer than {MAX_USER} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        details.push("'s User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(|c| NOT_IN_USERS.contains(c)) {
        details.push(r#"'s User cannot contain the following characters: "/\:;|=,+*?<>@[]"#.to_owned());
    }
    details
}

fn is_net_bios(domain: &str) -> bool {
    (1..=15).contains(&domain.chars().count())
        && !domain.starts_with('.')
        && !domain.contains(|c| NOT_IN_DOMAINS.contains(c))
}

/// A pod of containers that are processes of the host.
pub fn host_process(spec: &Cursor, errors: &mut Errors) {
    let of_pod = of_host(spec);
    let (mut all, mut of_hosts) = (0, 0);
    for list in CONTAINERS {
        for container in spec.child(list).items() {
            all += 1;
            let own = of_host(&container);
            if let (Some(pod), Some(own)) = (of_pod, own)
                && pod != own
            {
                let (context, options) = (container.child("securityContext"), "windowsOptions");
                let options = context.child(options);
                let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
                errors.invalid_as(&options.child("hostProcess"), own, detail);
            }
            of_hosts += usize::from(own.or(of_pod) == Some(true));
        }
    }
    if of_hosts == 0 {
        return;
    }
    if of_hosts != all {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.invalid_as(spec, "", detail);
    }
    if spec.flag("hostNetwork") != Some(true) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.invalid_as(&spec.child("hostNetwork"), false, detail);
    }
}

/// Of a pod or a container, where it says so.
fn of_host(at: &Cursor) -> Option<bool> {
    at.value.pointer("/securityContext/windowsOptions/hostProcess").and_then(Value::as_bool)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn users_are_in_domains_or_not() {
        let table = [
            ("ContainerUser", ""),
            (r"NT AUTHORITY\SYSTEM", ""),
            (r"example.com\a", ""),
            ("", " cannot be an empty string"),
            ("a\n", " cannot contain control characters"),
            (r"a\b\c", " cannot contain more than one backslash"),
            (r"a\", "'s User cannot be empty"),
            (r"a*\b", "'s Domain doesn't match the NetBios nor the DNS format"),
            ("..", "'s User cannot contain only periods or spaces"),
            ("a:b", r#"'s User cannot contain the following characters: "/\:;|=,+*?<>@[]"#),
        ];
        for (text, expected) in table {
            assert_eq!(user_name(text).join(";"), expected, "{text}");
        }
    }

    #[test]
    fn processes_of_the_host_are_among_themselves() {
        let context = |host: bool| json!({"windowsOptions": {"hostProcess": host}});
        let container = |host: bool| json!({"securityContext": context(host)});
        let table: &[(_, &[&str])] = &[
            (json!({"containers": [container(true)], "hostNetwork": true}), &[]),
            (json!({"containers": [container(false), {}]}), &[]),
            (
                json!({"containers": [container(true), {}]}),
                &[
                    "spec: Invalid value: \"\": If pod contains any hostProcess containers then all containers must be \
                     HostProcess containers",
                    "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
                ],
            ),
            (
                json!({"securityContext": context(true), "containers": [container(false), {}], "hostNetwork": true}),
                &[
                    "spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess \
                     value must be identical if both are specified, was true",
                    "spec: Invalid value: \"\": If pod contains any hostProcess containers then all containers must be \
                     HostProcess containers",
                ],
            ),
        ];
        for (spec, expected) in table {
            let pod = json!({"spec": spec});
            let mut errors = Errors::default();
            host_process(&Cursor::root(&pod, "spec"), &mut errors);
            let errors: Vec<String> = errors.into_vec().iter().map(ToString::to_string).collect();
            assert_eq!(errors, *expected, "{spec}");
        }
    }
}
