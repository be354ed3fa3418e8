//! What an expression of admission can use, and compiling it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::eval::Program;
use crate::schema::{Declaration, ObjectTypes};
use crate::types::Type;
use crate::{CALL_LIMIT, Env};

const VARIABLES: &str = "kubernetes.variables";

/// Which variables there are beside `object`, `oldObject`, `request` and `namespaceObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    pub params: bool,
    /// `authorizer` and `authorizer.requestResource`.
    pub authorizer: bool,
    /// The types that patches are made of.
    pub patches: bool,
}

/// What is known of the data of a variable.
#[derive(Clone, Debug)]
pub struct Typed {
    ty: Type,
    types: ObjectTypes,
}

impl Typed {
    /// Nothing: it is looked into when the expression is computed.
    pub fn open() -> Self {
        Self { ty: Type::Dyn, types: ObjectTypes::new() }
    }
}

impl From<&Declaration> for Typed {
    fn from(declaration: &Declaration) -> Self {
        Self { ty: declaration.ty.clone(), types: declaration.types() }
    }
}

/// Grows with the variables that a policy defines, in their order.
#[derive(Clone, Debug)]
pub struct Environment {
    object: Typed,
    params: Typed,
    /// The types of `variables.NAME`; `None` where nobody defines any.
    variables: Option<BTreeMap<String, Type>>,
}

/// An expression as it is to be computed.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub source: String,
    /// What is wrong with it otherwise.
    pub program: Result<Program, String>,
    pub output: Type,
}

static BASE: LazyLock<Env> = LazyLock::new(|| {
    let env = Env::kubernetes().types(request_types()).types(namespace_types());
    env.variable("request", Type::object("kubernetes.AdmissionRequest"))
        .variable("namespaceObject", Type::object("kubernetes.Namespace"))
});

impl Environment {
    /// Of expressions that know no variables of a policy: match conditions of webhooks.
    pub fn plain() -> Self {
        Self { object: Typed::open(), params: Typed::open(), variables: None }
    }

    /// Of the expressions of a policy.
    pub fn composed() -> Self {
        Self { variables: Some(BTreeMap::new()), ..Self::plain() }
    }

    /// As [`Environment::composed`], with what is known of the objects and parameters.
    pub fn typed(object: Typed, params: Typed) -> Self {
        Self { object, params, variables: Some(BTreeMap::new()) }
    }

    /// From now on there is `variables.NAME`.
    pub fn define(&mut self, name: &str, ty: &Type) {
        self.variables.get_or_insert_default().insert(name.to_owned(), plain_type(ty));
    }

    fn env(&self, declared: Declared) -> Env {
        let object = self.object.ty.clone();
        let mut env = BASE.clone().types(self.object.types.clone());
        env = env.variable("object", object.clone()).variable("oldObject", object);
        if declared.params {
            env = env.types(self.params.types.clone()).variable("params", self.params.ty.clone());
        }
        if declared.authorizer {
            env = env.variable("authorizer", Type::read("authorizer"));
            // Upstream does not know it when it checks types only.
            if matches!(self.object.ty, Type::Dyn) {
                env = env.variable("authorizer.requestResource", Type::read("resource_check"));
            }
        }
        if declared.patches {
            env = env.patches();
        }
        if let Some(variables) = &self.variables {
            let types = ObjectTypes::from([(VARIABLES.into(), variables.clone())]);
            env = env.types(types).variable("variables", Type::object(VARIABLES));
        }
        env
    }

    /// `wanted` are the types that it may come to; all when there are none.
    pub fn compile(&self, source: &str, declared: Declared, wanted: &[Type]) -> Compiled {
        let (program, output) = match self.check(source, declared, wanted) {
            Ok((program, output)) => (Ok(program), output),
            Err(why) => (Err(why), Type::Dyn),
        };
        Compiled { source: source.to_owned(), program, output }
    }

    fn check(&self, source: &str, declared: Declared, wanted: &[Type]) -> Result<(Program, Type), String> {
        let checked = self.env(declared).compile(source).map_err(|issues| format!("compilation failed: {issues}"))?;
        let output = checked.output().clone();
        if !wanted.is_empty() && !wanted.contains(&output) {
            return Err(match wanted {
                [one] => format!("must evaluate to {} but got {}", shown(one), shown(&output)),
                several => {
                    let several: Vec<String> = several.iter().map(shown).collect();
                    format!("must evaluate to one of [{}] but got {}", several.join(" "), shown(&output))
                }
            });
        }
        let program =
            Program::new(checked, CALL_LIMIT).map_err(|why| format!("program instantiation failed: {why}"))?;
        Ok((program, output))
    }

    /// The type that a well-typed expression comes to.
    ///
    /// # Errors
    /// What is wrong with its types.
    pub fn type_of(&self, source: &str, declared: Declared) -> Result<Type, String> {
        let checked = self.env(declared).compile(source).map_err(|issues| issues.to_string())?;
        Ok(checked.output().clone())
    }
}

/// As upstream keeps the type of a variable: what is neither plain nor a list or map of such is looked into later.
fn plain_type(ty: &Type) -> Type {
    match ty {
        Type::Null
        | Type::Bool
        | Type::Int
        | Type::Uint
        | Type::Double
        | Type::String
        | Type::Bytes
        | Type::Duration
        | Type::Timestamp => ty.clone(),
        Type::List(of) => Type::list(plain_type(of)),
        Type::Map(key, value) => Type::map(plain_type(key), plain_type(value)),
        _ => Type::Dyn,
    }
}

/// By its own name, as Go prints types.
fn shown(ty: &Type) -> String {
    let params = ty.params();
    if params.is_empty() {
        return ty.name().to_owned();
    }
    let params: Vec<String> = params.into_iter().map(shown).collect();
    format!("{}({})", ty.name(), params.join(", "))
}

/// Fields and their types, as [`Type::read`] reads them; what it does not know is an object type below `kubernetes.`.
fn object(name: &str, fields: &[(&str, &str)]) -> (std::sync::Arc<str>, BTreeMap<String, Type>) {
    let ty = |text: &str| match text.strip_prefix('@') {
        Some(name) => Type::object(format!("kubernetes.{name}")),
        None => Type::read(text),
    };
    let fields = fields.iter().map(|(field, text)| ((*field).to_owned(), ty(text)));
    (format!("kubernetes.{name}").into(), fields.collect())
}

fn request_types() -> ObjectTypes {
    ObjectTypes::from([
        object("GroupVersionKind", &[("group", "string"), ("version", "string"), ("kind", "string")]),
        object("GroupVersionResource", &[("group", "string"), ("version", "string"), ("resource", "string")]),
        object(
            "UserInfo",
            &[
                ("username", "string"),
                ("uid", "string"),
                ("groups", "list(string)"),
                ("extra", "map(string, list(string))"),
            ],
        ),
        object(
            "AdmissionRequest",
            &[
                ("kind", "@GroupVersionKind"),
                ("resource", "@GroupVersionResource"),
                ("subResource", "string"),
                ("requestKind", "@GroupVersionKind"),
                ("requestResource", "@GroupVersionResource"),
                ("requestSubResource", "string"),
                ("name", "string"),
                ("namespace", "string"),
                ("operation", "string"),
                ("userInfo", "@UserInfo"),
                ("dryRun", "bool"),
                ("options", "dyn"),
            ],
        ),
    ])
}

fn namespace_types() -> ObjectTypes {
    let mut types = ObjectTypes::from([
        object("NamespaceSpec", &[("finalizers", "list(string)")]),
        object(
            "NamespaceCondition",
            &[
                ("status", "string"),
                ("type", "string"),
                ("lastTransitionTime", "timestamp"),
                ("message", "string"),
                ("reason", "string"),
            ],
        ),
        object("NamespaceStatus", &[("phase", "string")]),
        object(
            "NamespaceMetadata",
            &[
                ("name", "string"),
                ("generateName", "string"),
                ("namespace", "string"),
                ("labels", "map(string, string)"),
                ("annotations", "map(string, string)"),
                ("UID", "string"),
                ("creationTimestamp", "timestamp"),
                ("deletionGracePeriodSeconds", "int"),
                ("deletionTimestamp", "timestamp"),
                ("generation", "int"),
                ("resourceVersion", "string"),
                ("finalizers", "list(string)"),
            ],
        ),
        object(
            "Namespace",
            &[("metadata", "@NamespaceMetadata"), ("spec", "@NamespaceSpec"), ("status", "@NamespaceStatus")],
        ),
    ]);
    let conditions = Type::list(Type::object("kubernetes.NamespaceCondition"));
    types.entry("kubernetes.NamespaceStatus".into()).or_default().insert("conditions".to_owned(), conditions);
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Declared = Declared { params: true, authorizer: true, patches: false };

    #[test]
    fn expressions_are_compiled_in_upstreams_words() {
        let bool = &[Type::Bool][..];
        let text_or_null = &[Type::String, Type::Null][..];
        let table = [
            ("object.spec.replicas > 1", ALL, bool, ""),
            ("request.namespace == namespaceObject.metadata.name", ALL, bool, ""),
            ("authorizer.requestResource.check('get').allowed()", ALL, bool, ""),
            ("authorizer.group('').resource('pods').check('get').allowed()", ALL, bool, ""),
            ("params.a == 'b' && oldObject == null", ALL, bool, ""),
            ("variables.text == 'x' && variables.any.x == 1", ALL, bool, ""),
            ("object.spec.x", ALL, bool, "must evaluate to bool but got dyn"),
            ("[1]", ALL, bool, "must evaluate to bool but got list(int)"),
            ("1", ALL, text_or_null, "must evaluate to one of [string null_type] but got int"),
            ("null", ALL, text_or_null, ""),
            (
                "variables.other",
                ALL,
                bool,
                "compilation failed: ERROR: <input>:1:10: undefined field 'other'\n | variables.other\n | .........^",
            ),
            (
                "params.a",
                Declared::default(),
                bool,
                "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.a\n | ^",
            ),
        ];
        let mut environment = Environment::composed();
        environment.define("text", &Type::String);
        environment.define("any", &Type::object("unknown"));
        for (source, declared, wanted, expected) in table {
            let said = environment.compile(source, declared, wanted).program.err().unwrap_or_default();
            assert_eq!(said, expected, "{source}");
        }
    }
}
