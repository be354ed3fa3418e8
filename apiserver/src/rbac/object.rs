//! Roles and bindings, read from stored objects: what decisions need of them and no more.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::rule::{Rule, nullable};
use crate::user::UserInfo;

/// A namespace and a name; the namespace of cluster-wide objects is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub namespace: Box<str>,
    pub name: Box<str>,
}

impl Place {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// Who is meant by a binding. A service account is the user that its tokens authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    User(Box<str>),
    Group(Box<str>),
    ServiceAccount {
        /// `system:serviceaccount:NAMESPACE:NAME`.
        user: Box<str>,
        /// As upstream shows it: name and then namespace.
        shown: Box<str>,
    },
}

impl Subject {
    pub fn is(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(name) | Self::ServiceAccount { user: name, .. } => **name == *user.name,
            Self::Group(name) => user.in_group(name),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "User {name:?}"),
            Self::Group(name) => write!(f, "Group {name:?}"),
            Self::ServiceAccount { shown, .. } => write!(f, "ServiceAccount {shown:?}"),
        }
    }
}

/// RoleBinding or, in no namespace, ClusterRoleBinding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub place: Place,
    /// A ClusterRole when its namespace is empty.
    pub role: Place,
    pub subjects: Vec<Subject>,
}

#[derive(Deserialize)]
struct RoleText {
    #[serde(default, deserialize_with = "nullable")]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BindingText {
    role_ref: RoleRefText,
    #[serde(default, deserialize_with = "nullable")]
    subjects: Vec<SubjectText>,
}

#[derive(Deserialize)]
struct RoleRefText {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: Box<str>,
}

#[derive(Deserialize)]
struct SubjectText {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: Box<str>,
    #[serde(default)]
    namespace: Option<Box<str>>,
}

/// The rules of a Role or ClusterRole.
///
/// # Errors
/// When it is no object of the kind.
pub fn rules(json: &[u8]) -> serde_json::Result<Arc<[Rule]>> {
    let role: RoleText = serde_json::from_slice(json)?;
    Ok(role.rules.into())
}

impl Binding {
    /// # Errors
    /// When it is no object of the kind.
    pub fn read(namespace: &str, name: &str, json: &[u8]) -> serde_json::Result<Self> {
        let text: BindingText = serde_json::from_slice(json)?;
        let role_namespace = if text.role_ref.kind == "Role" { namespace } else { "" };
        let role = Place::new(role_namespace, &text.role_ref.name);
        let subjects = text.subjects.into_iter().filter_map(|subject| subject.read(namespace)).collect();
        Ok(Self { place: Place::new(namespace, name), role, subjects })
    }
}

impl SubjectText {
    /// `namespace` is the binding's: that of a service account which names none. `None` for what can be nobody.
    fn read(self, namespace: &str) -> Option<Subject> {
        match self.kind.as_str() {
            "User" => Some(Subject::User(self.name)),
            "Group" => Some(Subject::Group(self.name)),
            "ServiceAccount" => {
                let own = self.namespace.as_deref().filter(|own| !own.is_empty()).unwrap_or(namespace);
                let (user, shown) = (
                    format!("system:serviceaccount:{own}:{}", self.name).into(),
                    format!("{}/{own}", self.name).into(),
                );
                (!own.is_empty()).then_some(Subject::ServiceAccount { user, shown })
            }
            _ => None,
        }
    }
}

/// As upstream's reasons name it, up to the subject.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { namespace, name } = &self.place;
        let role = if self.role.namespace.is_empty() { "ClusterRole" } else { "Role" };
        if namespace.is_empty() {
            write!(f, "ClusterRoleBinding {name:?} of {role} {:?}", self.role.name)
        } else {
            // Upstream puts the name before the namespace.
            write!(f, "RoleBinding {:?} of {role} {:?}", format!("{name}/{namespace}"), self.role.name)
        }
    }
}
