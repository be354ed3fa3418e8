//! Certificates that somebody asks for, an administrator approves or denies, and the cluster signs, as real kubectls do it.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::{Cluster, Kubectl, with_cluster};
use rcgen::{CertificateParams, DnType, DnValue, KeyPair};
use serde_json::{Value, json};

#[test]
fn an_approved_certificate_opens_the_cluster_and_a_denied_one_is_none() -> Result<()> {
    with_cluster(|cluster| {
        for kubectl in cluster.kubectls() {
            let done = approve(cluster, &kubectl).and_then(|()| deny(cluster, &kubectl));
            done.with_context(|| format!("with {}", kubectl.name))?;
            cluster.with_kubectl(&kubectl, ["delete", "csr", "jane", "joe"]).ok()?;
        }
        Ok(())
    })
}

fn approve(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let run = |words: &[&str]| cluster.with_kubectl(kubectl, []).args(words).ok();
    let key = request(cluster, "jane")?;
    ensure!(condition(&run(&["get", "csr", "jane", "--no-headers"])?) == "Pending");
    let said = run(&["certificate", "approve", "jane"])?;
    ensure!(said == "certificatesigningrequest.certificates.k8s.io/jane approved\n", "{said}");
    run(&["wait", "--for=jsonpath={.status.certificate}", "csr/jane", "--timeout=30s"])?;
    ensure!(condition(&run(&["get", "csr", "jane", "--no-headers"])?) == "Approved,Issued");
    let certificate = run(&["get", "csr", "jane", "-o=jsonpath={.status.certificate}"])?;

    let own = run(&["config", "view", "--raw", "--minify", "-o=json"])?;
    let mut config: Value = serde_json::from_str(&own).context("read the kubeconfig")?;
    let key = BASE64_STANDARD.encode(key.serialize_pem());
    config["users"][0]["user"] = json!({"client-certificate-data": certificate, "client-key-data": key});
    let file = cluster.file("jane.kubeconfig", config.to_string())?;
    let config = format!("--kubeconfig={}", file.display());
    let who = run(&["auth", "whoami", "-o=jsonpath={.status.userInfo.username} {.status.userInfo.groups}", &config])?;
    ensure!(who == r#"jane ["testers","system:authenticated"]"#, "{who}");
    let refused = r#"pods is forbidden: User "jane" cannot list resource "pods""#;
    cluster.with_kubectl(kubectl, ["get", "pods"]).args([&config]).fails_with(refused)?;
    Ok(())
}

fn deny(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let run = |words: &[&str]| cluster.with_kubectl(kubectl, []).args(words).ok();
    request(cluster, "joe")?;
    run(&["certificate", "deny", "joe"])?;
    ensure!(condition(&run(&["get", "csr", "joe", "--no-headers"])?) == "Denied");
    ensure!(cluster.api().get(&path("joe"))?["status"]["certificate"].is_null());
    Ok(())
}

/// Asks for a client certificate of this name, and gives its key.
fn request(cluster: &Cluster, name: &str) -> Result<KeyPair> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(name.to_owned()));
    params.distinguished_name.push(DnType::OrganizationName, DnValue::Utf8String("testers".to_owned()));
    let request = BASE64_STANDARD.encode(params.serialize_request(&key)?.pem()?);
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {
            "request": request, "signerName": "kubernetes.io/kube-apiserver-client", "expirationSeconds": 3600,
            "usages": ["client auth"],
        },
    });
    cluster.api().create(&path(""), &object)?;
    Ok(key)
}

fn path(name: &str) -> String {
    let all = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    if name.is_empty() { all.to_owned() } else { format!("{all}/{name}") }
}

/// The last column of a row.
fn condition(row: &str) -> &str {
    row.split_whitespace().last().unwrap_or_default()
}
