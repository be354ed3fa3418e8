//! JSON written piece by piece.

use serde_json::Value;

/// An object whose members are written one after the other, in the order given.
pub(super) struct ObjectWriter<'b> {
    out: &'b mut Vec<u8>,
    empty: bool,
}

impl<'b> ObjectWriter<'b> {
    pub(super) fn new(out: &'b mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    pub(super) fn member(&mut self, key: &str, value: &Value) {
        self.key(key).extend_from_slice(value.to_string().as_bytes());
    }

    pub(super) fn object(&mut self, key: &str, members: impl FnOnce(&mut ObjectWriter<'_>)) {
        let mut inner = ObjectWriter::new(self.key(key));
        members(&mut inner);
        inner.end();
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(Value::from(key).to_string().as_bytes());
        self.out.push(b':');
        self.out
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}
