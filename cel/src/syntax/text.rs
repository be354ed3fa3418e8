//! What the literals of strings and bytes mean.

/// The content of a literal as it stands in the text, quotes and prefixes included. Bytes are what they are; a string is UTF-8.
pub(super) fn unescape(literal: &str, is_bytes: bool) -> Result<Vec<u8>, &'static str> {
    const MALFORMED: &str = "unable to unescape string";
    let literal = literal.replace("\r\n", "\n").replace('\r', "\n");
    let (raw, quoted) = match literal.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, literal.as_str()),
    };
    let quotes = ["\"\"\"", "'''", "\"", "'"];
    let inner = quotes.iter().find_map(|quote| {
        let long_enough = quoted.len() >= 2 * quote.len();
        quoted.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).filter(|_| long_enough)
    });
    let inner = inner.ok_or(MALFORMED)?;
    if raw || !inner.contains('\\') {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            escape(&mut chars, is_bytes, &mut out)?;
        } else {
            push(c, &mut out);
        }
    }
    Ok(out)
}

fn push(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn escape(chars: &mut std::str::Chars<'_>, is_bytes: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const MALFORMED: &str = "unable to unescape string";
    let letter = chars.next().ok_or("unable to unescape string, found '\\' as last character")?;
    let simple = match letter {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '\'' | '"' | '`' | '?' => letter as u8,
        _ => 0,
    };
    if simple != 0 {
        out.push(simple);
        return Ok(());
    }
    let (radix, digits, malformed) = match letter {
        'x' | 'X' => (16, 2, MALFORMED),
        'u' if !is_bytes => (16, 4, MALFORMED),
        'U' if !is_bytes => (16, 8, MALFORMED),
        '0'..='3' => (8, 2, "unable to unescape octal sequence in string"),
        _ => return Err(MALFORMED),
    };
    let mut code = if radix == 8 { letter.to_digit(8).unwrap_or_default() } else { 0 };
    for _ in 0..digits {
        let digit = chars.next().and_then(|c| c.to_digit(radix)).ok_or(malformed)?;
        code = code.wrapping_mul(radix).wrapping_add(digit);
    }
    if is_bytes {
        out.push(u8::try_from(code).map_err(|_| MALFORMED)?);
    } else {
        push(char::from_u32(code).ok_or("invalid unicode code point")?, out);
    }
    Ok(())
}
