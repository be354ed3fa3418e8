//! Paths and queries of the kubelet's server. Pure.

use percent_encoding::percent_decode_str;

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Logs(Target),
    Exec(Target),
    Attach(Target),
    /// Namespace and name of a pod.
    PortForward(String, String),
    Healthz,
    Pods,
    Metrics,
    Images,
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl Route {
    pub fn parse(path: &str) -> Option<Route> {
        let parts: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let target = |namespace: &str, pod: &str, container: &str| Target {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: container.to_owned(),
        };
        match parts.as_slice() {
            ["containerLogs", namespace, pod, container] => Some(Route::Logs(target(namespace, pod, container))),
            // The form with a uid is older than the other.
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
                Some(Route::Exec(target(namespace, pod, container)))
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
                Some(Route::Attach(target(namespace, pod, container)))
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
                Some(Route::PortForward((*namespace).to_owned(), (*pod).to_owned()))
            }
            ["healthz"] | ["healthz", _] => Some(Route::Healthz),
            ["pods"] => Some(Route::Pods),
            ["metrics"] => Some(Route::Metrics),
            ["images"] => Some(Route::Images),
            _ => None,
        }
    }

    /// Whether its answer follows from which pods are on the node.
    pub fn is_about_pods(&self) -> bool {
        !matches!(self, Self::Healthz | Self::Metrics | Self::Images)
    }
}

/// A query string's pairs, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Query {
        let plus = |text: &str| decode(&text.replace('+', " "));
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (plus(name), plus(value))
        };
        Query(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// `1` and `true` are true; so is any of the names.
    pub fn flag(&self, names: &[&str]) -> bool {
        names.iter().any(|name| matches!(self.get(name), Some("1" | "true" | "True" | "TRUE")))
    }

    /// An error names the parameter that is no number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let value = self.get(name).filter(|value| !value.is_empty());
        value.map(|value| value.parse().map_err(|_| format!("invalid {name}: {value:?}"))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let target = Target { namespace: "ns".to_owned(), pod: "p".to_owned(), container: "c".to_owned() };
        let table = [
            ("/containerLogs/ns/p/c", Some(Route::Logs(target.clone()))),
            ("/exec/ns/p/c", Some(Route::Exec(target.clone()))),
            ("/exec/ns/p/uid/c", Some(Route::Exec(target.clone()))),
            ("/attach/ns/p/c/", Some(Route::Attach(target))),
            ("/portForward/ns/p", Some(Route::PortForward("ns".to_owned(), "p".to_owned()))),
            ("/portForward/ns/p/uid", Some(Route::PortForward("ns".to_owned(), "p".to_owned()))),
            ("/portForward/ns", None),
            ("/healthz", Some(Route::Healthz)),
            ("/images", Some(Route::Images)),
            ("/containerLogs/ns/p", None),
            ("/", None),
        ];
        for (path, expected) in table {
            assert_eq!(Route::parse(path), expected, "{path}");
        }
    }

    #[test]
    fn queries() {
        let query = Query::parse("command=sh&command=-c&command=echo%20a%2Bb+c&tty=1&tailLines=5&follow&x=");
        assert_eq!(query.all("command"), ["sh", "-c", "echo a+b c"]);
        assert!(query.flag(&["stdin", "tty"]) && !query.flag(&["follow", "stdin"]));
        assert_eq!(query.number("tailLines"), Ok(Some(5)));
        assert_eq!(query.number("x"), Ok(None));
        assert!(Query::parse("tailLines=-1").number("tailLines").is_err());
    }
}
