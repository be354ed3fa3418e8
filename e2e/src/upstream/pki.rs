//! Certificates and kubeconfigs for a control plane, as an installer makes them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use serde_json::json;

/// An authority and the folder that its certificates are written to, each as `<name>.crt` and `<name>.key`.
pub struct Pki {
    folder: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub fn new(folder: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let pki = Self { folder: folder.to_owned(), issuer: Issuer::new(params, key), certificate };
        pki.write("ca.crt", &pki.certificate)?;
        pki.write("ca.key", &pki.issuer.key().serialize_pem())?;
        Ok(pki)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.path(file), text).with_context(|| format!("write {file}"))
    }

    /// What tokens of service accounts are signed with: `service-account.key` and `.pub`.
    pub fn token_key(&self) -> Result<()> {
        let key = KeyPair::generate()?;
        self.write("service-account.key", &key.serialize_pem())?;
        self.write("service-account.pub", &key.public_key_pem())
    }

    pub fn serving(&self, name: &str, names: &[&str], addresses: &[&str]) -> Result<()> {
        let mut params = named(name, None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
        }
        for address in addresses {
            params.subject_alt_names.push(SanType::IpAddress(address.parse()?));
        }
        self.issue(name, &params).map(drop)
    }

    /// A client's certificate and a kubeconfig with it, `<name>.kubeconfig`, whose path is returned.
    pub fn client(&self, name: &str, group: Option<&str>, server: &str) -> Result<PathBuf> {
        let mut params = named(name, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let file = name.replace(':', "-");
        let (certificate, key) = self.issue(&file, &params)?;
        let encode = |text: &str| STANDARD.encode(text);
        let cluster = json!({"server": server, "certificate-authority-data": encode(&self.certificate)});
        let user = json!({"client-certificate-data": encode(&certificate), "client-key-data": encode(&key)});
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "upstream", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "upstream", "context": {"cluster": "upstream", "user": name}}],
            "current-context": "upstream",
        });
        let file = format!("{file}.kubeconfig");
        self.write(&file, &kubeconfig.to_string())?;
        Ok(self.path(&file))
    }

    fn issue(&self, file: &str, params: &CertificateParams) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let key = key.serialize_pem();
        self.write(&format!("{file}.crt"), &certificate)?;
        self.write(&format!("{file}.key"), &key)?;
        Ok((certificate, key))
    }
}

fn named(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params
}
