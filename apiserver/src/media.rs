//! Content negotiation: what a client can read (`k8s.io/apiserver/pkg/endpoints/handlers/negotiation`).

use api::status::Status;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};

use crate::query::Query;

/// What the server can write and read, in the order of preference.
pub const SUPPORTED: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
pub const PROTOBUF: &str = api::protobuf::CONTENT_TYPE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

/// The form in which objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Whole,
    Table,
    Metadata,
    /// As `Metadata`, of a list.
    MetadataList,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub format: Format,
    pub view: View,
    /// Of meta.k8s.io, for views: `v1` or `v1beta1`.
    pub view_version: &'static str,
    /// Indented.
    pub pretty: bool,
}

impl Accepted {
    pub const JSON: Self = Self { format: Format::Json, view: View::Whole, view_version: "v1", pretty: false };

    /// Whether the view fits what is answered is found when there is an answer (upstream).
    /// `lists`: the path is one of a collection, which also has watches.
    pub fn negotiate(headers: &HeaderMap, query: &Query, lists: bool) -> Result<Self, Status> {
        Self::among(headers, query, lists, |_| true)
    }

    /// As [`Self::negotiate`], of a custom resource: there is no message of one, but of its metadata.
    pub fn negotiate_custom(headers: &HeaderMap, query: &Query, lists: bool) -> Result<Self, Status> {
        Self::among(headers, query, lists, |accepted| {
            accepted.format != Format::Protobuf || accepted.view != View::Whole
        })
    }

    /// As [`Self::negotiate`], of what is answered and not stored: nobody has thought of columns for that.
    pub fn negotiate_review(headers: &HeaderMap, query: &Query, lists: bool) -> Result<Self, Status> {
        Self::among(headers, query, lists, |accepted| accepted.view != View::Table)
    }

    fn among(headers: &HeaderMap, query: &Query, lists: bool, is_there: fn(&Self) -> bool) -> Result<Self, Status> {
        let pretty = pretty(headers, query);
        let header = accept(headers);
        if header.trim().is_empty() {
            return Ok(Self { pretty, ..Self::JSON });
        }
        let mut clauses: Vec<Clause> = header.split(',').filter_map(Clause::parse).collect();
        // Stable, so that equal clauses keep the client's order.
        clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
        let chosen = clauses.iter().filter_map(Clause::accept).find(is_there);
        let refused = || match clauses.iter().any(|clause| is_known(clause.kind)) {
            true => Status::not_acceptable(&SUPPORTED),
            false => Status::no_representation(&SUPPORTED, lists),
        };
        chosen.map(|accepted| Self { pretty, ..accepted }).ok_or_else(refused)
    }

    /// For what is only there as JSON; `None` when the client cannot read that.
    pub fn json(headers: &HeaderMap, query: &Query) -> Option<Self> {
        let header = accept(headers);
        let reads = |clause: Clause<'_>| matches!(clause.kind, "*/*" | "application/*" | "application/json");
        let reads_json = header.trim().is_empty() || header.split(',').filter_map(Clause::parse).any(reads);
        reads_json.then(|| Self { pretty: pretty(headers, query), ..Self::JSON })
    }

    pub fn content_type(&self) -> &'static str {
        match self.format {
            Format::Json => "application/json",
            Format::Yaml => "application/yaml",
            Format::Protobuf => PROTOBUF,
        }
    }

    /// The type of a stream of watch events. Upstream has no stream of YAML: such a client reads JSON.
    pub fn stream_type(&self) -> &'static str {
        match self.format {
            Format::Json | Format::Yaml => "application/json",
            Format::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }
}

fn accept(headers: &HeaderMap) -> String {
    let values: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// Formats in which there may be something, whatever else is asked of it.
fn is_known(kind: &str) -> bool {
    SUPPORTED.contains(&kind) || matches!(kind, "*/*" | "application/*")
}

pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let header = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.split(',').any(|coding| coding.split(';').next().unwrap_or_default().trim() == "gzip")
}

struct Clause<'h> {
    kind: &'h str,
    parameters: Vec<(&'h str, &'h str)>,
    quality: f32,
}

impl<'h> Clause<'h> {
    fn parse(text: &'h str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().filter(|kind| !kind.is_empty())?;
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let quality = parameters.iter().find(|(key, _)| *key == "q").and_then(|(_, value)| value.parse().ok());
        Some(Self { kind, parameters, quality: quality.unwrap_or(1.0) })
    }

    fn get(&self, key: &str) -> Option<&'h str> {
        self.parameters.iter().find(|(own, _)| *own == key).map(|(_, value)| *value)
    }

    fn accept(&self) -> Option<Accepted> {
        let format = match self.kind {
            "*/*" | "application/*" | "application/json" => Format::Json,
            "application/yaml" => Format::Yaml,
            PROTOBUF => Format::Protobuf,
            _ => return None,
        };
        let (view, view_version) = self.view()?;
        if view == View::Table && format == Format::Protobuf {
            return None;
        }
        Some(Accepted { format, view, view_version, pretty: false })
    }

    fn view(&self) -> Option<(View, &'static str)> {
        let Some(kind) = self.get("as") else { return Some((View::Whole, "v1")) };
        if self.get("g") != Some("meta.k8s.io") {
            return None;
        }
        let version = match self.get("v") {
            Some("v1") => "v1",
            Some("v1beta1") => "v1beta1",
            _ => return None,
        };
        let view = match kind {
            "Table" => View::Table,
            "PartialObjectMetadata" => View::Metadata,
            "PartialObjectMetadataList" => View::MetadataList,
            _ => return None,
        };
        Some((view, version))
    }
}

/// Asked for, or a client that people sit in front of.
fn pretty(headers: &HeaderMap, query: &Query) -> bool {
    match query.get("pretty").filter(|value| !value.is_empty()) {
        Some(value) => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        None => {
            let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|human| agent.starts_with(human))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(accept: &str) -> Result<(Format, View, &'static str), u16> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        let accepted = Accepted::negotiate(&headers, &Query::default(), false).map_err(|status| status.code)?;
        Ok((accepted.format, accepted.view, accepted.view_version))
    }

    #[test]
    fn the_first_acceptable_clause_wins() {
        let table = [
            ("", Ok((Format::Json, View::Whole, "v1"))),
            ("*/*", Ok((Format::Json, View::Whole, "v1"))),
            ("application/vnd.kubernetes.protobuf,application/json", Ok((Format::Protobuf, View::Whole, "v1"))),
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json",
                Ok((Format::Json, View::Whole, "v1")),
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
                Ok((Format::Protobuf, View::Metadata, "v1")),
            ),
            ("application/json;q=0.5,application/yaml", Ok((Format::Yaml, View::Whole, "v1"))),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io",
                Ok((Format::Json, View::Table, "v1")),
            ),
            (
                "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
                Ok((Format::Json, View::MetadataList, "v1")),
            ),
            ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Ok((Format::Json, View::Metadata, "v1"))),
            ("application/json;as=Other;v=v1;g=meta.k8s.io,application/json", Ok((Format::Json, View::Whole, "v1"))),
            ("application/vnd.kubernetes.protobuf", Ok((Format::Protobuf, View::Whole, "v1"))),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", Err(406)),
            ("text/html", Err(406)),
        ];
        for (accept, expected) in table {
            assert_eq!(negotiate(accept), expected, "{accept}");
        }
    }

    #[test]
    fn there_is_no_message_of_a_custom_resource() {
        let table = [
            (PROTOBUF, Err(406)),
            ("application/vnd.kubernetes.protobuf,application/json", Ok(Format::Json)),
            ("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Ok(Format::Protobuf)),
        ];
        for (accept, expected) in table {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            let accepted = Accepted::negotiate_custom(&headers, &Query::default(), false);
            assert_eq!(accepted.map(|accepted| accepted.format).map_err(|status| status.code), expected, "{accept}");
        }
    }

    #[test]
    fn people_get_indented_answers() {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, "curl/8.0".parse().unwrap());
        let pretty = |query| Accepted::negotiate(&headers, &Query::parse(query), false).unwrap().pretty;
        assert!(pretty("") && !pretty("pretty=false") && pretty("pretty=true"));
    }
}
