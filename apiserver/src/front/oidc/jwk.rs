//! Tokens (RFC 7519) and the keys that their signatures are checked by (RFC 7517, 7518).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;

/// A token in three parts, not verified yet.
pub struct Token<'t> {
    pub algorithm: String,
    pub key_id: String,
    /// What is signed.
    message: &'t str,
    signature: Vec<u8>,
    pub claims: Value,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

impl<'t> Token<'t> {
    pub fn read(text: &'t str) -> Result<Self, &'static str> {
        let malformed = "malformed token";
        let (message, signature) = text.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = message.split_once('.').ok_or(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "error decoding token");
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed)?;
        let claims: Value = serde_json::from_slice(&decode(claims)?).map_err(|_| malformed)?;
        if !claims.is_object() {
            return Err(malformed);
        }
        Ok(Self { algorithm: header.alg, key_id: header.kid, message, signature: decode(signature)?, claims })
    }

    pub fn is_signed_by(&self, key: &Key) -> bool {
        key.verify(&self.algorithm, self.message.as_bytes(), &self.signature)
    }
}

/// One of a JSON Web Key Set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Key {
    pub kid: String,
    kty: String,
    #[serde(rename = "use")]
    used_for: String,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

impl Key {
    /// Whether it may sign at all.
    pub fn signs(&self) -> bool {
        matches!(self.used_for.as_str(), "" | "sig")
    }

    fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        if self.kty == "EC" {
            let how: &dyn signature::VerificationAlgorithm = match (algorithm, self.crv.as_str()) {
                ("ES256", "P-256") => &signature::ECDSA_P256_SHA256_FIXED,
                ("ES384", "P-384") => &signature::ECDSA_P384_SHA384_FIXED,
                _ => return false,
            };
            let point = [&[4][..], &decode(&self.x), &decode(&self.y)].concat();
            return UnparsedPublicKey::new(how, point).verify(message, signature).is_ok();
        }
        let how = match algorithm {
            "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
            "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
            "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
            "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
            "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
            "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return false,
        };
        let key = RsaPublicKeyComponents { n: decode(&self.n), e: decode(&self.e) };
        self.kty == "RSA" && key.verify(how, message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by openssl, with a key that is gone.
    const MODULUS: &str = "rT6JXZqWivjANw83TfRjWdIzpQBY90yJEDxIqiBd_fidjrP4sFv2w9SRE2DItoL3H9AFa-7mTOZ99ATWwWfwwpJHZv\
         zE_r-dmu4Z-2IZnJqMPiIH-UjorLKyjfpIAbUVj_YoSdCMGSNe5h1eFFLY6PQ_jk5EOWG4z0r05GgraQpLZ2qAhFet\
         rhgcuN0U9oD-KuDOYzg7F_bnkDYfSoUFQihLpIqfIF43lnndioaKLvYLp6X8t2zSBJpyQhM9YxJ_XRmH1UQzbgJdH6\
         cpGpzkzfuWKAHKbcpRP5uIvRFdzD07ngdSDtRlTKjtoV9zpX6lg82NUbKaEh9r9EZowDiJDw";
    const TOKENS: [&str; 2] = [
        "eyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoibWU\
         iLCJzdWIiOiJqYW5lIn0.eKocxsboqBRSFdIcPcURtAIdOeG12lmuY218MRv1ELvmyCk9_Sl6n4KT1wdenAz9vV0eU\
         QHui40ndiJ4l28M-f1gIq39LJ1qQtGmvwQXws7UUucoI5I7xow9CB23bdEUBk4vBhVJQz9_AUAlj0b7W-kHOGOeNMB\
         CH0QjbL5cv3WmeF5PtF9Jp-yTdZXyMgvSAzMnijb9WXmAa07FMTT4jp6oMfwN1xeihyTP8ecgS3go028fHNTAuDhe6\
         ginmk1eiuQ7k-wGgSKLlKXX2iyu9NkKtB5o0woMf0d77AZCGBjgXc9esQBDV9umxWcInAzLYsX2muz8OdOgws7tU5u\
         wkg",
        "eyJhbGciOiJQUzI1NiIsImtpZCI6InIifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoibWU\
         iLCJzdWIiOiJqYW5lIn0.FlYZQBxDkY-MPXqTtpYShuUazkRT8cH93CEScW7N07iy-9eLTmFyUWhEC8TTF3D8jeb5Q\
         qMzXD006o4F_KNpTN5I3h2V8lio0bzppir7xWz7EdZqEOTJ1lk68ERB01kEkeZ6EztrawcCXFcFoBdOQYu9-GBQFwD\
         vCScax04C4gwk60ICuNx7Yf8Gakgask4ryCsVwMkk3KKAKQj_yn2xbbP3Kun0w2MG5UkO9OqKH3g6d_M6bsQ_sq1CZ\
         AwXEdGRF5B24SgopBBbTrehUSsXh58skK8FsbuK8S2uEwd4xKkO8X7sOK48ZImzsTqPsRX3vhXVkCbChcLYX_0HZYi\
         NiA",
    ];

    #[test]
    fn tokens_of_rsa_keys_are_verified() {
        let key = Key { kid: "r".into(), kty: "RSA".into(), n: MODULUS.into(), e: "AQAB".into(), ..Key::default() };
        for text in TOKENS {
            let token = Token::read(text).unwrap();
            assert_eq!((token.claims["sub"].as_str(), &*token.key_id), (Some("jane"), "r"));
            assert!(token.is_signed_by(&key), "{}", token.algorithm);
            // Of another claim, by another algorithm, by another key.
            let (header, rest) = text.split_once('.').unwrap();
            let forged = format!("{header}.e30.{}", rest.split_once('.').unwrap().1);
            assert!(!Token::read(&forged).unwrap().is_signed_by(&key));
            let other = Token { algorithm: "RS512".into(), ..Token::read(text).unwrap() };
            assert!(!other.is_signed_by(&key));
            let none = Token { algorithm: "none".into(), ..Token::read(text).unwrap() };
            assert!(!none.is_signed_by(&key));
            assert!(!token.is_signed_by(&Key { kty: "EC".into(), ..key.clone() }));
        }
        for text in ["", "a.b", "e30.e30.e30", "{}", "e30.W10.x"] {
            assert!(Token::read(text).is_err(), "{text}");
        }
    }
}
