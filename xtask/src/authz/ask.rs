//! Questions to one server, over several connections.

use std::fmt;

use anyhow::Result;
use bytes::Bytes;
use futures::StreamExt;
use http::Method;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::bench::client::{Access, Connection};

/// Connections at once.
const CONNECTIONS: usize = 6;
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// The status of a review, or the refusal of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(Value);

impl Answer {
    pub fn is_allowed(&self) -> bool {
        self.0["allowed"] == true
    }

    /// By which of several bindings somebody may is a matter of the order in which they are looked at.
    pub fn agrees(&self, other: &Self) -> bool {
        let by_role = |answer: &Self| {
            answer.is_allowed() && answer.0["reason"].as_str().is_some_and(|reason| reason.starts_with("RBAC: "))
        };
        self == other || by_role(self) && by_role(other)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, &'static str)>,
}

pub async fn reviews(access: &Access, reviews: &[Value]) -> Result<Vec<Answer>> {
    spread(access, reviews, async |connection, review| {
        let (status, body) = connection.send(Method::POST, REVIEWS, review.to_string().into()).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        Ok(Answer(if status.is_success() { answer["status"].clone() } else { answer["message"].clone() }))
    })
    .await
}

/// Why each is forbidden; `not forbidden` for all else.
pub async fn requests(access: &Access, requests: &[Request]) -> Result<Vec<String>> {
    spread(access, requests, async |connection, request| {
        let mut builder = http::Request::builder().method(request.method).uri(&request.path);
        builder = builder.header("accept", "application/json").header("content-type", "application/json");
        for (name, value) in &request.headers {
            builder = builder.header(*name, *value);
        }
        // Options in a body are all there are: without one, those of the query count.
        let body = if matches!(request.method, "POST" | "PATCH") { &b"{}"[..] } else { b"" };
        let response = connection.raw(builder.body(Full::new(Bytes::from_static(body)))?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != http::StatusCode::FORBIDDEN {
            return Ok("not forbidden".to_owned());
        }
        let answer: Value = serde_json::from_slice(&body)?;
        Ok(answer["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

/// In the order of the questions.
async fn spread<Q, A>(
    access: &Access,
    questions: &[Q],
    ask: impl AsyncFn(&mut Connection, &Q) -> Result<A>,
) -> Result<Vec<A>> {
    let size = questions.len().div_ceil(CONNECTIONS).max(1);
    let parts = futures::stream::iter(questions.chunks(size)).map(async |part| {
        let mut connection = access.connect().await?;
        let mut answers = Vec::with_capacity(part.len());
        for question in part {
            answers.push(ask(&mut connection, question).await?);
        }
        anyhow::Ok(answers)
    });
    let parts: Vec<Result<Vec<A>>> = parts.buffered(CONNECTIONS).collect().await;
    let mut answers = Vec::with_capacity(questions.len());
    for part in parts {
        answers.extend(part?);
    }
    Ok(answers)
}
