//! Questions to the authorizer (`library/authz.go`): a question is put together step by step, and `check` asks it.

use std::fmt;
use std::sync::Arc;

use super::{Row, member, text};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    member("path", "authorizer_path", "authorizer, string", "path_check", Rule::Unit, |args| {
        let path = text(args, 1)?.to_owned();
        if path.trim().is_empty() {
            return Err(Error::new("path must not be empty"));
        }
        refined(args, |check| (check.stage, check.path) = (Stage::Path, path))
    }),
    member("group", "authorizer_group", "authorizer, string", "group_check", Rule::Unit, |args| {
        let group = text(args, 1)?.to_owned();
        refined(args, |check| (check.stage, check.group) = (Stage::Group, group))
    }),
    member(
        "serviceAccount",
        "authorizer_serviceaccount",
        "authorizer, string, string",
        "authorizer",
        Rule::Unit,
        |args| {
            let (namespace, name) = (text(args, 1)?.to_owned(), text(args, 2)?.to_owned());
            if !api::names::dns1123_subdomain(&name).is_empty() {
                return Err(Error::new("Invalid service account name"));
            }
            if !api::names::dns1123_label(&namespace).is_empty() {
                return Err(Error::new("Invalid service account namespace"));
            }
            refined(args, |check| check.subject = Subject::ServiceAccount { namespace, name })
        },
    ),
    member("resource", "groupcheck_resource", "group_check, string", "resource_check", Rule::Unit, |args| {
        let resource = text(args, 1)?.to_owned();
        if resource.trim().is_empty() {
            return Err(Error::new("resource must not be empty"));
        }
        refined(args, |check| (check.stage, check.resource) = (Stage::Resource, resource))
    }),
    refine("subresource", "resourcecheck_subresource", Rule::Unit, |args| {
        let value = text(args, 1)?.to_owned();
        refined(args, |check| check.subresource = value)
    }),
    refine("namespace", "resourcecheck_namespace", Rule::Unit, |args| {
        let value = text(args, 1)?.to_owned();
        refined(args, |check| check.namespace = value)
    }),
    refine("name", "resourcecheck_name", Rule::Unit, |args| {
        let value = text(args, 1)?.to_owned();
        refined(args, |check| check.name = value)
    }),
    refine("fieldSelector", "authorizer_fieldselector", Rule::Selector, |args| {
        let value = text(args, 1)?.to_owned();
        refined(args, |check| check.field_selector = value)
    }),
    refine("labelSelector", "authorizer_labelselector", Rule::Selector, |args| {
        let value = text(args, 1)?.to_owned();
        refined(args, |check| check.label_selector = value)
    }),
    member("check", "pathcheck_check", "path_check, string", "decision", Rule::Authorize, ask),
    member("check", "resourcecheck_check", "resource_check, string", "decision", Rule::Authorize, ask),
    member("errored", "decision_errored", "decision", "bool", Rule::Unit, |args| {
        Ok(decision(args)?.error.is_some().into())
    }),
    member("error", "decision_error", "decision", "string", Rule::Unit, |args| {
        Ok(Value::text(decision(args)?.error.clone().unwrap_or_default()))
    }),
    member("allowed", "decision_allowed", "decision", "bool", Rule::Unit, |args| Ok(decision(args)?.allowed.into())),
    member("reason", "decision_reason", "decision", "string", Rule::Unit, |args| {
        Ok(Value::text(decision(args)?.reason.clone()))
    }),
];

const fn refine(name: &'static str, id: &'static str, cost: Rule, run: super::Run) -> Row {
    member(name, id, "resource_check, string", "resource_check", cost, run)
}

/// Who answers.
pub trait Authorizer: Send + Sync {
    /// Whether `check.subject` may do `verb`.
    fn authorize(&self, check: &Check, verb: &str) -> Decision;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// Whoever makes the request.
    #[default]
    Requester,
    ServiceAccount {
        namespace: String,
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
}

/// A question, as far as it is put together.
#[derive(Clone)]
pub struct Check {
    authorizer: Arc<dyn Authorizer>,
    stage: Stage,
    pub subject: Subject,
    /// Of a request that is for no resource.
    pub path: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
}

impl Check {
    /// The value of the variable `authorizer`.
    pub fn authorizer<'v>(authorizer: Arc<dyn Authorizer>) -> Value<'v> {
        Self::begun(authorizer).value()
    }

    /// A question about a resource that waits for its verb only: the value of `authorizer.requestResource`. `fill` says which resource.
    pub fn of_resource<'v>(authorizer: Arc<dyn Authorizer>, fill: impl FnOnce(&mut Self)) -> Value<'v> {
        let mut check = Self { stage: Stage::Resource, ..Self::begun(authorizer) };
        fill(&mut check);
        check.value()
    }

    fn begun(authorizer: Arc<dyn Authorizer>) -> Self {
        let none = String::new;
        Self {
            authorizer,
            stage: Stage::Authorizer,
            subject: Subject::Requester,
            path: none(),
            group: none(),
            resource: none(),
            subresource: none(),
            namespace: none(),
            name: none(),
            field_selector: none(),
            label_selector: none(),
        }
    }

    fn value<'v>(self) -> Value<'v> {
        Value::Opaque(Opaque::Check(Arc::new(self)))
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Authorizer => "authorizer",
            Stage::Path => "path_check",
            Stage::Group => "group_check",
            Stage::Resource => "resource_check",
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("subject", &self.subject).field("resource", &self.resource).finish()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}

fn refined<'v>(args: &[Value<'v>], change: impl FnOnce(&mut Check)) -> Result<Value<'v>, Error> {
    let Some(Value::Opaque(Opaque::Check(check))) = args.first() else { return Err(Error::NO_OVERLOAD) };
    let mut check = (**check).clone();
    change(&mut check);
    Ok(Value::Opaque(Opaque::Check(Arc::new(check))))
}

fn ask<'v>(args: &mut [Value<'v>]) -> Result<Value<'v>, Error> {
    let Some(Value::Opaque(Opaque::Check(check))) = args.first() else { return Err(Error::NO_OVERLOAD) };
    let decision = check.authorizer.authorize(check, text(args, 1)?);
    Ok(Value::Opaque(Opaque::Decision(Arc::new(decision))))
}

fn decision<'a>(args: &'a [Value<'_>]) -> Result<&'a Decision, Error> {
    match args.first() {
        Some(Value::Opaque(Opaque::Decision(decision))) => Ok(decision),
        _ => Err(Error::NO_OVERLOAD),
    }
}
