//! What a configuration may say (`k8s.io/apiserver/pkg/apis/apiserver/validation`). Expressions are compiled on the way.

use std::collections::BTreeSet;

use api::field::{FieldError, Path};
use api::names;
use cel::Type;
use http::Uri;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::config::{ClaimMappings, ClaimValidationRule, Configuration, Issuer, Jwt, Mapping, UserValidationRule};
use super::expressions::{Expression, Mapper, Over, Rule};

const MAX_AUTHENTICATORS: usize = 64;

type Errors = Vec<FieldError>;

/// One mapper for each authenticator; they are of use when there are no errors.
pub fn validate(configuration: &Configuration, own: &[&str]) -> (Vec<Mapper>, Errors) {
    let (root, mut errors, mut mappers) = (Path::new("jwt"), Errors::new(), Vec::new());
    let count = configuration.jwt.len();
    if count > MAX_AUTHENTICATORS {
        let detail = format!("must have at most {MAX_AUTHENTICATORS} items");
        errors.push(FieldError::invalid(&root, count, detail));
        return (mappers, errors);
    }
    let (mut issuers, mut discoveries) = (BTreeSet::new(), BTreeSet::new());
    for (index, jwt) in configuration.jwt.iter().enumerate() {
        let path = root.index(index);
        mappers.push(authenticator(jwt, &path, own, &mut errors));
        let Issuer { url, discovery_url, .. } = &jwt.issuer;
        let at = path.child("issuer");
        if !issuers.insert(url) {
            errors.push(FieldError::duplicate(&at.child("url"), url.as_str()));
        }
        if !discovery_url.is_empty() && !discoveries.insert(discovery_url) {
            errors.push(FieldError::duplicate(&at.child("discoveryURL"), discovery_url.as_str()));
        }
    }
    if let Some(anonymous) = &configuration.anonymous
        && !anonymous.enabled
        && !anonymous.conditions.is_empty()
    {
        let paths: Vec<&str> = anonymous.conditions.iter().map(|condition| condition.path.as_str()).collect();
        let detail = "enabled should be set to true when conditions are defined";
        errors.push(FieldError::invalid(&Path::new("anonymous").child("conditions"), paths, detail));
    }
    (mappers, errors)
}

fn authenticator(jwt: &Jwt, path: &Path, own: &[&str], errors: &mut Errors) -> Mapper {
    let mut mapper = Mapper::default();
    issuer(&jwt.issuer, &path.child("issuer"), own, errors);
    claim_rules(&jwt.claim_validation_rules, &path.child("claimValidationRules"), &mut mapper, errors);
    mappings(&jwt.claim_mappings, &path.child("claimMappings"), &mut mapper, errors);
    user_rules(&jwt.user_validation_rules, &path.child("userValidationRules"), &mut mapper, errors);
    mapper
}

fn issuer(issuer: &Issuer, path: &Path, own: &[&str], errors: &mut Errors) {
    let (url, discovery) = (issuer.url.as_str(), issuer.discovery_url.as_str());
    match url {
        "" => errors.push(FieldError::required(&path.child("url"), "")),
        _ => check_url(url, own, &path.child("url"), errors),
    }
    if !discovery.is_empty() {
        let path = path.child("discoveryURL");
        if !url.is_empty() && url.trim_end_matches('/') == discovery.trim_end_matches('/') {
            errors.push(FieldError::invalid(&path, discovery, "discoveryURL must be different from URL"));
        }
        check_url(discovery, &[], &path, errors);
    }
    audiences(issuer, path, errors);
    let authority = issuer.certificate_authority.as_bytes();
    let readable = || {
        let mut certificates = CertificateDer::pem_slice_iter(authority).peekable();
        certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
    };
    if !authority.is_empty() && !readable() {
        let detail = "data does not contain any valid RSA or ECDSA certificates";
        errors.push(FieldError::invalid(&path.child("certificateAuthority"), "<omitted>", detail));
    }
    let egress = issuer.egress_selector_type.as_str();
    if !matches!(egress, "" | "controlplane" | "cluster") {
        let detail = "egress selector must be either controlplane or cluster";
        errors.push(FieldError::invalid(&path.child("egressSelectorType"), egress, detail));
    }
}

fn check_url(url: &str, own: &[&str], path: &Path, errors: &mut Errors) {
    let mut invalid = |detail: String| errors.push(FieldError::invalid(path, url, detail));
    if own.contains(&url) {
        invalid(format!("URL must not overlap with disallowed issuers: [{}]", own.join(" ")));
    }
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let uri: Uri = match rest.parse() {
        Ok(uri) => uri,
        Err(error) => return invalid(error.to_string()),
    };
    if uri.scheme_str() != Some("https") {
        invalid("URL scheme must be https".to_owned());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        invalid("URL must not contain a username or password".to_owned());
    }
    if uri.query().is_some_and(|query| !query.is_empty()) {
        invalid("URL must not contain a query".to_owned());
    }
    if !fragment.is_empty() {
        invalid("URL must not contain a fragment".to_owned());
    }
}

fn audiences(issuer: &Issuer, path: &Path, errors: &mut Errors) {
    let (audiences, policy) = (&issuer.audiences, issuer.audience_match_policy.as_str());
    let (at, policy_at) = (path.child("audiences"), path.child("audienceMatchPolicy"));
    if audiences.is_empty() {
        errors.push(FieldError::required(&at, format!("at least one {at} is required")));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, audience) in audiences.iter().enumerate() {
        if audience.is_empty() {
            errors.push(FieldError::required(&at.index(index), ""));
        }
        if !seen.insert(audience) {
            errors.push(FieldError::duplicate(&at.index(index), audience.as_str()));
        }
    }
    let detail = match (audiences.len(), policy) {
        (1, "" | "MatchAny") | (2.., "MatchAny") => return,
        (1, _) => "audienceMatchPolicy must be empty or MatchAny for single audience",
        _ => "audienceMatchPolicy must be MatchAny for multiple audiences",
    };
    errors.push(FieldError::invalid(&policy_at, policy, detail));
}

fn compiled(source: &str, over: Over, wanted: Option<Type>, path: &Path, errors: &mut Errors) -> Option<Expression> {
    match Expression::compile(source, over, wanted) {
        Ok(expression) => Some(expression),
        Err(detail) => {
            errors.push(FieldError::invalid(path, source, detail));
            None
        }
    }
}

fn claim_rules(rules: &[ClaimValidationRule], path: &Path, mapper: &mut Mapper, errors: &mut Errors) {
    let (mut claims, mut expressions) = (BTreeSet::new(), BTreeSet::new());
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        match (rule.claim.as_str(), rule.expression.as_str()) {
            ("", "") => errors.push(FieldError::required(&path, "claim or expression is required")),
            (claim, "") => {
                if !rule.message.is_empty() {
                    let detail = "may not be specified when claim is set";
                    errors.push(FieldError::invalid(&path.child("message"), rule.message.as_str(), detail));
                }
                if !claims.insert(claim) {
                    errors.push(FieldError::duplicate(&path.child("claim"), claim));
                }
            }
            ("", source) => {
                if !rule.required_value.is_empty() {
                    let detail = "may not be specified when expression is set";
                    errors.push(FieldError::invalid(
                        &path.child("requiredValue"),
                        rule.required_value.as_str(),
                        detail,
                    ));
                }
                let at = path.child("expression");
                if !expressions.insert(source) {
                    errors.push(FieldError::duplicate(&at, source));
                } else if let Some(expression) = compiled(source, Over::Claims, Some(Type::Bool), &at, errors) {
                    mapper.claim_rules.push(Rule { expression, message: rule.message.clone() });
                }
            }
            (claim, _) => errors.push(FieldError::invalid(&path, claim, "claim and expression can't both be set")),
        }
    }
}

fn user_rules(rules: &[UserValidationRule], path: &Path, mapper: &mut Mapper, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let (at, source) = (path.index(index).child("expression"), rule.expression.as_str());
        if source.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !seen.insert(source) {
            errors.push(FieldError::duplicate(&at, source));
        } else if let Some(expression) = compiled(source, Over::User, Some(Type::Bool), &at, errors) {
            mapper.user_rules.push(Rule { expression, message: rule.message.clone() });
        }
    }
}

fn mappings(mappings: &ClaimMappings, path: &Path, mapper: &mut Mapper, errors: &mut Errors) {
    mapper.username = prefixed(&mappings.username, &path.child("username"), true, errors);
    mapper.groups = prefixed(&mappings.groups, &path.child("groups"), false, errors);
    let (uid, at) = (&mappings.uid, path.child("uid"));
    if !uid.claim.is_empty() && !uid.expression.is_empty() {
        errors.push(FieldError::invalid(&at, "", "claim and expression can't both be set"));
    } else if !uid.expression.is_empty() {
        mapper.uid = compiled(&uid.expression, Over::Claims, None, &at.child("expression"), errors);
    }
    extra(mappings, path, mapper, errors);
    let selects = |expression: &Expression, field: &str| expression.checked.selects("claims", field);
    let rules = mapper.claim_rules.iter().map(|rule| &rule.expression);
    let extra = mapper.extra.iter().map(|(_, expression)| expression);
    let mut all = mapper.username.iter().chain(rules).chain(extra);
    let uses_email = mapper.username.as_ref().is_some_and(|username| selects(username, "email"));
    if uses_email && !all.any(|expression| selects(expression, "email_verified")) {
        let detail = "claims.email_verified must be used in claimMappings.username.expression or \
                      claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is \
                      used in claimMappings.username.expression";
        let at = path.child("username").child("expression");
        errors.push(FieldError::invalid(&at, mappings.username.expression.as_str(), detail));
    }
}

fn prefixed(mapping: &Mapping, path: &Path, required: bool, errors: &mut Errors) -> Option<Expression> {
    match (mapping.claim.as_str(), mapping.expression.as_str()) {
        ("", "") => {
            if required {
                errors.push(FieldError::required(path, "claim or expression is required"));
            }
            None
        }
        (_, "") => {
            if mapping.prefix.is_none() {
                let detail =
                    "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
                errors.push(FieldError::required(&path.child("prefix"), detail));
            }
            None
        }
        ("", source) => {
            if let Some(prefix) = &mapping.prefix {
                let detail = "may not be specified when expression is set";
                errors.push(FieldError::invalid(&path.child("prefix"), prefix.as_str(), detail));
            }
            compiled(source, Over::Claims, None, &path.child("expression"), errors)
        }
        _ => {
            errors.push(FieldError::invalid(path, "", "claim and expression can't both be set"));
            None
        }
    }
}

fn extra(mappings: &ClaimMappings, path: &Path, mapper: &mut Mapper, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, mapping) in mappings.extra.iter().enumerate() {
        let (path, key) = (path.child("extra").index(index), mapping.key.as_str());
        let at = path.child("key");
        domain_prefixed_path(key, &at, errors);
        if key != key.to_lowercase() {
            errors.push(FieldError::invalid(&at, key, "must be lowercase"));
        }
        let domain = key.split_once('/').map(|(domain, _)| domain).unwrap_or_default();
        let within =
            |parent: &str| domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if within("kubernetes.io") || within("k8s.io") {
            let detail = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
            errors.push(FieldError::invalid(&at, key, detail));
        }
        let source = mapping.value_expression.as_str();
        let expression_at = path.child("valueExpression");
        if !seen.insert(key) {
            errors.push(FieldError::duplicate(&at, key));
        } else if source.is_empty() {
            errors.push(FieldError::required(&expression_at, ""));
        } else if let Some(expression) = compiled(source, Over::Claims, None, &expression_at, errors) {
            mapper.extra.push((key.to_owned(), expression));
        }
    }
}

fn domain_prefixed_path(key: &str, path: &Path, errors: &mut Errors) {
    if key.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let Some((domain, rest)) = key.split_once('/').filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty())
    else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(FieldError::invalid(path, key, detail));
        return;
    };
    for message in names::dns1123_subdomain(domain) {
        errors.push(FieldError::invalid(path, domain, message));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    if !rest.chars().all(plain) {
        let detail = r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')";
        errors.push(FieldError::invalid(path, rest, detail));
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
