//! The audit log: flags as upstream's API server calls them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use apiserver::audit::Audit;
use apiserver::audit::log::{Limits, LogFile};
use apiserver::audit::policy::Policy;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub struct AuditFlags {
    /// Which requests are audited, and how much of them is told: a Policy of audit.k8s.io/v1
    #[arg(long, value_name = "FILE", requires = "audit_log_path")]
    audit_policy_file: Option<PathBuf>,
    /// Where the audit log is written, one JSON object a line
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    audit_log_path: Option<PathBuf>,
    /// For how many days files of the log are kept [default: for ever]
    #[arg(long, value_name = "DAYS", requires = "audit_log_path", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    audit_log_maxage: Option<u32>,
    /// How many files of the log are kept beside the newest [default: all]
    #[arg(long, value_name = "FILES", requires = "audit_log_path")]
    audit_log_maxbackup: Option<u32>,
    /// How large one file of the log becomes, in megabytes [default: 100]
    #[arg(long, value_name = "MB", requires = "audit_log_path")]
    audit_log_maxsize: Option<u32>,
}

impl AuditFlags {
    /// `None` when nothing was said. Files are named from the root, for a daemon and for later starts.
    pub fn named(self) -> Result<Option<Self>> {
        if self == Self::default() {
            return Ok(None);
        }
        let absolute =
            |file: Option<PathBuf>| file.map(std::path::absolute).transpose().context("find a file for audit");
        let (audit_policy_file, audit_log_path) = (absolute(self.audit_policy_file)?, absolute(self.audit_log_path)?);
        Ok(Some(Self { audit_policy_file, audit_log_path, ..self }))
    }

    /// The same flags for another process.
    pub fn arguments(&self) -> Vec<OsString> {
        let number = |number: Option<u32>| number.map(|number| OsString::from(number.to_string()));
        let file = |file: &Option<PathBuf>| file.clone().map(OsString::from);
        let flags = [
            ("--audit-policy-file", file(&self.audit_policy_file)),
            ("--audit-log-path", file(&self.audit_log_path)),
            ("--audit-log-maxage", number(self.audit_log_maxage)),
            ("--audit-log-maxbackup", number(self.audit_log_maxbackup)),
            ("--audit-log-maxsize", number(self.audit_log_maxsize)),
        ];
        flags.into_iter().filter_map(|(flag, value)| Some([flag.into(), value?])).flatten().collect()
    }

    /// `None` when no log is asked for.
    pub fn open(&self) -> Result<Option<Arc<Audit>>> {
        let (Some(policy), Some(log)) = (&self.audit_policy_file, &self.audit_log_path) else {
            // clap has seen that both are named or none.
            return Ok(None);
        };
        ensure!(!log.is_dir(), "the audit log {} is a directory", log.display());
        let text = std::fs::read(policy).with_context(|| format!("read the audit policy {}", policy.display()))?;
        let rules = Policy::read(&text).with_context(|| format!("audit policy {}", policy.display()))?;
        let limits = Limits {
            megabytes: self.audit_log_maxsize.unwrap_or_default().into(),
            days: self.audit_log_maxage.unwrap_or_default().into(),
            backups: self.audit_log_maxbackup.unwrap_or_default() as usize,
        };
        let sink = LogFile::open(log, limits).with_context(|| format!("open the audit log {}", log.display()))?;
        Ok(Some(Arc::new(Audit::new(rules, Box::new(sink)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        audit: AuditFlags,
    }

    #[test]
    fn flags_come_back_as_they_were() {
        let text = "x --audit-policy-file /p --audit-log-path /l --audit-log-maxage 3 --audit-log-maxsize 7";
        let audit = Line::try_parse_from(text.split(' ')).unwrap().audit.named().unwrap().unwrap();
        assert_eq!(audit.arguments().join(" ".as_ref()), &text[2..]);
        for text in ["x --audit-policy-file /p", "x --audit-log-path /l", "x --audit-log-maxage 3"] {
            assert!(Line::try_parse_from(text.split(' ')).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bad_policy_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let (policy, log) = (folder.path().join("policy.yaml"), folder.path().join("audit.log"));
        std::fs::write(&policy, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Everything\n").unwrap();
        let flags =
            AuditFlags { audit_policy_file: Some(policy), audit_log_path: Some(log.clone()), ..AuditFlags::default() };
        let error = format!("{:#}", flags.open().err().unwrap());
        assert!(error.contains("rules[0].level: Unsupported value: \"Everything\""), "{error}");
        assert!(!log.exists());
    }
}
