use serde_json::{Value, json};

use super::super::config::read;
use super::*;

const OWN: &str = "https://own.example";

fn good() -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {"url": "https://issuer.example", "audiences": ["me"]},
            "claimMappings": {
                "username": {"expression": "'oidc:' + claims.sub"},
                "groups": {"claim": "groups", "prefix": ""},
                "extra": [{"key": "example.com/team", "valueExpression": "claims.?team"}],
            },
            "claimValidationRules": [{"claim": "hd", "requiredValue": "example.com"},
                {"expression": "claims.exp - claims.nbf <= 86400", "message": "too long"}],
            "userValidationRules": [{"expression": "!user.username.startsWith('system:')"}],
        }],
    })
}

fn errors(configuration: &Value) -> Vec<String> {
    let read = read(&configuration.to_string()).unwrap();
    validate(&read, &[OWN]).1.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_wrong_is_told_in_upstreams_words() {
    assert_eq!(errors(&good()), Vec::<String>::new());
    let table = [
        ("/jwt/0/issuer/url", json!(""), "jwt[0].issuer.url: Required value"),
        (
            "/jwt/0/issuer/url",
            json!("http://u@x?q=1"),
            "jwt[0].issuer.url: Invalid value: \"http://u@x?q=1\": URL scheme must be https\n\
             jwt[0].issuer.url: Invalid value: \"http://u@x?q=1\": URL must not contain a username or password\n\
             jwt[0].issuer.url: Invalid value: \"http://u@x?q=1\": URL must not contain a query",
        ),
        (
            "/jwt/0/issuer/url",
            json!(OWN),
            "jwt[0].issuer.url: Invalid value: \"https://own.example\": URL must not overlap with disallowed issuers: \
             [https://own.example]",
        ),
        (
            "/jwt/0/issuer/audiences",
            json!([]),
            "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
        ),
        (
            "/jwt/0/issuer/audiences",
            json!(["a", "a"]),
            "jwt[0].issuer.audiences[1]: Duplicate value: \"a\"\njwt[0].issuer.audienceMatchPolicy: Invalid value: \"\": \
             audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
        (
            "/jwt/0/claimMappings/username",
            json!({"claim": "sub"}),
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to an \
             empty string to disable prefixing",
        ),
        (
            "/jwt/0/claimMappings/username",
            json!({}),
            "jwt[0].claimMappings.username: Required value: claim or expression is required",
        ),
        (
            "/jwt/0/claimMappings/username",
            json!({"expression": "claims.email"}),
            "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": claims.email_verified must be used in \
             claimMappings.username.expression or claimMappings.extra[*].valueExpression or \
             claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression",
        ),
        (
            "/jwt/0/claimMappings/username",
            json!({"expression": "claims.?email_verified.orValue(true) == true ? claims.email : ''"}),
            "",
        ),
        (
            "/jwt/0/claimMappings/extra/0/key",
            json!("X.k8s.io/a"),
            "jwt[0].claimMappings.extra[0].key: Invalid value: \"X.k8s.io\": a lowercase RFC 1123 subdomain must consist of \
             lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
             'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')\n\
             jwt[0].claimMappings.extra[0].key: Invalid value: \"X.k8s.io/a\": must be lowercase\n\
             jwt[0].claimMappings.extra[0].key: Invalid value: \"X.k8s.io/a\": k8s.io, kubernetes.io and their subdomains are \
             reserved for Kubernetes use",
        ),
        (
            "/jwt/0/claimValidationRules/1/expression",
            json!("claims.a ="),
            "jwt[0].claimValidationRules[1].expression: Invalid value: \"claims.a =\": compilation failed",
        ),
        (
            "/jwt/0/claimValidationRules/1/expression",
            json!("'a'"),
            "jwt[0].claimValidationRules[1].expression: Invalid value: \"'a'\": must evaluate to bool",
        ),
        (
            "/jwt/0/userValidationRules/0/expression",
            json!("user.name == ''"),
            "jwt[0].userValidationRules[0].expression: Invalid value: \"user.name == ''\": compilation failed",
        ),
    ];
    for (path, value, expected) in table {
        let mut configuration = good();
        *configuration.pointer_mut(path).unwrap() = value.clone();
        let found = errors(&configuration).join("\n");
        let matches = found == expected || expected.ends_with("compilation failed") && found.starts_with(expected);
        assert!(matches, "{path} {value}: {found}");
    }
}

#[test]
fn there_is_no_anonymous_condition_without_anonymous() {
    let mut configuration = good();
    configuration["anonymous"] = json!({"enabled": false, "conditions": [{"path": "/healthz"}]});
    let found = errors(&configuration);
    let detail = "enabled should be set to true when conditions are defined";
    assert!(found.len() == 1 && found[0].contains(detail), "{found:?}");
    for (field, value) in [("kind", json!("Other")), ("apiVersion", json!("v1")), ("more", json!(1))] {
        let mut other = good();
        other[field] = value;
        assert!(read(&other.to_string()).is_err(), "{field}");
    }
}
