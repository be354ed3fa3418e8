//! Questions with an answer: they are created, and never there.

use super::{Kind, kind};

pub const KINDS: &[Kind] = &[
    kind("authentication.k8s.io/v1", "TokenReview", "tokenreviews", r#"{"spec":{"token":"bad"}}"#).cluster().review(),
    kind("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", "{}").cluster().review(),
    kind(
        "authorization.k8s.io/v1",
        "SubjectAccessReview",
        "subjectaccessreviews",
        r#"{"spec":{"user":"u","groups":["system:authenticated"],"resourceAttributes":{"verb":"get","resource":"pods"}}}"#,
    )
    .cluster()
    .review(),
    kind(
        "authorization.k8s.io/v1",
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        r#"{"spec":{"user":"u","resourceAttributes":{"verb":"get","resource":"pods","namespace":"${ns}"}}}"#,
    )
    .review(),
    kind(
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        r#"{"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}"#,
    )
    .cluster()
    .review(),
    kind(
        "authorization.k8s.io/v1",
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        r#"{"spec":{"namespace":"default"}}"#,
    )
    .cluster()
    .review(),
];
