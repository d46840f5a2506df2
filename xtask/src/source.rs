//! Reading the tree: which files there are, and a view of Rust text that knows comments from code.
//!
//! This is a scanner, not a parser. [`Source`] keeps three views of equal length, so that an offset
//! means the same place in each: the text itself, `code` (comments, and the insides of literals,
//! blanked), and `comments` (everything else blanked). Line breaks stand in all three.

use std::fs;
use std::ops::Range;
use std::path::Path;

/// One text file of the tree.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` with comments and the insides of string and character literals blanked.
    pub(crate) code: String,
    /// `text` with everything but comments blanked.
    pub(crate) comments: String,
    /// Offset of the first byte of each line; strictly growing, starts with 0.
    line_starts: Vec<usize>,
    /// Every `{ .. }` of the code, in the order in which they open.
    blocks: Vec<Block>,
    /// Bodies of modules that only tests see.
    test_ranges: Vec<Range<usize>>,
}

/// A brace pair and what stands before it: attributes, `mod x`, `impl A for B`, `pub fn f(..)`.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) range: Range<usize>,
    pub(crate) header: Range<usize>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let is_rust = path.ends_with(".rs");
        let (code, comments) =
            if is_rust { split(text) } else { (text.to_owned(), text.to_owned()) };
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(offset, _)| offset + 1));
        let blocks = if is_rust { blocks_of(&code) } else { Vec::new() };
        let mut source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            comments,
            line_starts,
            blocks,
            test_ranges: Vec::new(),
        };
        source.test_ranges = source
            .blocks
            .iter()
            .filter(|block| {
                let header = &source.code[block.header.clone()];
                let is_module = words(header).any(|(_, word)| word == "mod");
                is_module
                    && header.contains("#[cfg(")
                    && words(header).any(|(_, word)| word == "test")
            })
            .map(|block| block.range.clone())
            .collect();
        source
    }

    /// The line of an offset, counted from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset)
    }

    pub(crate) fn line_count(&self) -> usize {
        self.text.lines().count()
    }

    /// The code of a line, counted from 1; empty where there is no such line.
    pub(crate) fn code_line(&self, number: usize) -> &str {
        self.slice_line(&self.code, number)
    }

    pub(crate) fn comment_line(&self, number: usize) -> &str {
        self.slice_line(&self.comments, number)
    }

    fn slice_line<'a>(&self, view: &'a str, number: usize) -> &'a str {
        if number == 0 || number > self.line_starts.len() {
            return "";
        }
        let start = self.line_starts[number - 1];
        let end = self.line_starts.get(number).copied().unwrap_or(view.len());
        view[start..end].trim_end_matches(['\n', '\r'])
    }

    /// The blocks round an offset, the outermost first.
    pub(crate) fn blocks_around(&self, offset: usize) -> impl Iterator<Item = &Block> {
        self.blocks
            .iter()
            .filter(move |block| block.range.start < offset && offset < block.range.end)
    }

    pub(crate) fn header_of(&self, block: &Block) -> &str {
        &self.code[block.header.clone()]
    }

    /// Whether only tests see this place: a test target, a `tests` module or a `#[cfg(test)] mod`.
    pub(crate) fn is_test(&self, offset: usize) -> bool {
        let is_test_file = self.path.split('/').any(|part| part == "tests" || part == "tests.rs");
        is_test_file || self.test_ranges.iter().any(|range| range.contains(&offset))
    }

    /// The comment and attribute lines directly above a line, joined; attributes are kept out.
    pub(crate) fn docs_above(&self, line: usize) -> String {
        let mut collected = Vec::new();
        let mut number = line;
        // Attributes may span lines; a line that closes one with `]` leads up to the one that opens it.
        let mut inside_attribute = false;
        while number > 1 {
            number -= 1;
            let code = self.code_line(number).trim();
            let comment = self.comment_line(number).trim();
            if inside_attribute {
                inside_attribute = !code.starts_with("#[");
            } else if code.is_empty() && !comment.is_empty() {
                collected.push(comment);
            } else if code.starts_with("#[") {
            } else if code.ends_with(")]") || code == "]" {
                inside_attribute = true;
            } else {
                break;
            }
        }
        collected.reverse();
        collected.join("\n")
    }
}

/// Every file of the tree that a check may want, sorted by path. Build output and hidden folders are
/// left out.
pub(crate) fn read_tree(root: &Path) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    read_folder(root, "", &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn read_folder(folder: &Path, prefix: &str, sources: &mut Vec<Source>) -> Result<(), String> {
    let entries =
        fs::read_dir(folder).map_err(|error| format!("read {}: {error}", folder.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("read {}: {error}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(|error| format!("read {prefix}{name}: {error}"))?;
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if kind.is_dir() {
            read_folder(&entry.path(), &format!("{prefix}{name}/"), sources)?;
        } else if kind.is_file() && is_wanted(&name) {
            let text = fs::read_to_string(entry.path())
                .map_err(|error| format!("read {prefix}{name}: {error}"))?;
            sources.push(Source::new(&format!("{prefix}{name}"), &text));
        }
    }
    Ok(())
}

fn is_wanted(name: &str) -> bool {
    name.ends_with(".rs") || name.ends_with(".md") || name == "Cargo.toml"
}

/// The identifiers of some code with their offsets. Lifetimes and numbers are not among them.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = code.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            if is_word_byte(bytes[at]) {
                while at < bytes.len() && is_word_byte(bytes[at]) {
                    at += 1;
                }
                let follows_tick = start > 0 && bytes[start - 1] == b'\'';
                if !bytes[start].is_ascii_digit() && !follows_tick {
                    return Some((start, &code[start..at]));
                }
            } else {
                at += 1;
            }
        }
        None
    })
}

pub(crate) fn is_word_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// The offset of the bracket that closes the one at `open`, or the end of the code.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return offset;
                }
            }
            _ => {}
        }
    }
    code.len()
}

fn blocks_of(code: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // The brackets open at this place; a brace carries the index of its block.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut header_start = 0;
    for (offset, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => open.push(None),
            b')' | b']' => {
                open.pop();
            }
            b'{' => {
                open.push(Some(blocks.len()));
                blocks.push(Block { range: offset..code.len(), header: header_start..offset });
                header_start = offset + 1;
            }
            b'}' => {
                if let Some(Some(index)) = open.pop() {
                    blocks[index].range.end = offset;
                }
                header_start = offset + 1;
            }
            // A semicolon inside `[u8; 4]` ends nothing.
            b';' if matches!(open.last(), None | Some(Some(_))) => header_start = offset + 1,
            _ => {}
        }
    }
    blocks
}

/// Splits Rust text into code and comments, both of the text's length.
fn split(text: &str) -> (String, String) {
    let mut code = text.as_bytes().to_vec();
    let mut comments = vec![b' '; text.len()];
    for (offset, byte) in text.bytes().enumerate() {
        if byte == b'\n' {
            comments[offset] = b'\n';
        }
    }
    let mut at = 0;
    while at < text.len() {
        let (length, kind) = token(text, at);
        let range = at..at + length;
        match kind {
            Kind::Code => {}
            Kind::Comment => {
                comments[range.clone()].copy_from_slice(&text.as_bytes()[range.clone()]);
                blank(&mut code[range]);
            }
            Kind::Literal { open, close } => {
                // An unfinished literal has no closing delimiter to keep.
                let end = range.end.saturating_sub(close);
                let inside = at + open..if text.is_char_boundary(end) { end } else { range.end };
                if inside.start < inside.end {
                    blank(&mut code[inside]);
                }
            }
        }
        at += length;
    }
    // Blanking replaces whole tokens by spaces and copying keeps whole tokens: both stay valid UTF-8.
    let into_string =
        |bytes| String::from_utf8(bytes).expect("tokens begin and end at character borders");
    (into_string(code), into_string(comments))
}

enum Kind {
    Code,
    Comment,
    /// The delimiters, `open` and `close` bytes long, stay in the code.
    Literal {
        open: usize,
        close: usize,
    },
}

/// The length and kind of what begins at an offset.
fn token(text: &str, at: usize) -> (usize, Kind) {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    let after_word = at > 0 && is_word_byte(text.as_bytes()[at - 1]);
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kind::Comment);
    }
    if rest.starts_with("/*") {
        return (block_comment_length(rest), Kind::Comment);
    }
    if bytes[0] == b'"' {
        return (quoted_length(rest), Kind::Literal { open: 1, close: 1 });
    }
    if !after_word
        && matches!(bytes[0], b'r' | b'b' | b'c')
        && let Some((length, open, close)) = raw_string(rest)
    {
        return (length, Kind::Literal { open, close });
    }
    if bytes[0] == b'\''
        && let Some(length) = character_length(rest)
    {
        return (length, Kind::Literal { open: 1, close: 1 });
    }
    let length = rest.chars().next().map_or(1, char::len_utf8);
    (length, Kind::Code)
}

fn block_comment_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            // What follows may be a character of several bytes; none of those is a quote.
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length, opening and closing delimiter of `r"..."`, `br#"..."#` and the like.
fn raw_string(rest: &str) -> Option<(usize, usize, usize)> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix)
            .is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
    })?;
    let hashes = rest[prefix.len()..].bytes().take_while(|&byte| byte == b'#').count();
    let open = prefix.len() + hashes + 1;
    let end_mark = format!("\"{}", "#".repeat(hashes));
    let length =
        rest[open..].find(&end_mark).map_or(rest.len(), |found| open + found + end_mark.len());
    Some((length, open, hashes + 1))
}

/// The length of a character literal; `None` for a lifetime.
fn character_length(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        let (escaped, letter) = characters.next()?;
        let after = escaped + letter.len_utf8();
        return rest[after..].find('\'').map(|found| after + found + 1);
    }
    let (offset, second) = characters.next()?;
    (second == '\'' && first != '\'').then_some(offset + 1)
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let source = Source::new("a.rs", text);
        assert_eq!(source.code.len(), text.len());
        assert_eq!(source.comments.len(), text.len());
        source.code
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        assert_eq!(code("a // unsafe\nb").trim_end(), "a          \nb");
        assert_eq!(code("a /* x /* y */ z */ b"), "a                   b");
        assert_eq!(code(r#"f("uns\"afe // x") g"#), r#"f("             ") g"#);
        assert_eq!(code("r#\"a \" unsafe\"# b"), "r#\"          \"# b");
        assert_eq!(code("br\"ab\" c"), "br\"  \" c");
        assert_eq!(code("'a' '\\'' '\\u{1F600}' 'ö' x"), "' ' '  ' '         ' '  ' x");
    }

    #[test]
    fn lifetimes_are_code() {
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        let found: Vec<&str> = words("&'a str").map(|(_, word)| word).collect();
        assert_eq!(found, ["str"]);
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        for text in ["\"ab", "\"ö", "\"", "\"\\", "r#\"ab", "/* ab", "/*", "'", "'\\", "'\\ö", "'ö"]
        {
            code(text);
        }
        assert_eq!(code("/* ab"), "     ");
    }

    #[test]
    fn lines_count_from_one() {
        let source = Source::new("a.rs", "one\ntwo\n");
        assert_eq!((source.line_of(0), source.line_of(3), source.line_of(4)), (1, 1, 2));
        assert_eq!((source.code_line(2), source.code_line(9), source.line_count()), ("two", "", 2));
    }

    #[test]
    fn test_modules_are_known() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}";
        let source = Source::new("src/a.rs", text);
        assert!(!source.is_test(text.find("a()").unwrap()));
        assert!(source.is_test(text.find("b()").unwrap()));
        assert!(!source.is_test(text.find("c()").unwrap()));
        assert!(Source::new("crates/x/tests/it/a.rs", "fn a() {}").is_test(0));
    }

    #[test]
    fn headers_survive_array_types() {
        let text = "x;\nimpl A for [u8; 4] { fn f() { y } }";
        let source = Source::new("a.rs", text);
        let headers: Vec<&str> = source
            .blocks_around(text.find('y').unwrap())
            .map(|block| source.header_of(block).trim())
            .collect();
        assert_eq!(headers, ["impl A for [u8; 4]", "fn f()"]);
    }

    #[test]
    fn docs_reach_over_attributes() {
        let text = "x();\n/// One.\n/// Two.\n#[a(\n    b,\n)]\n#[inline]\npub fn f() {}";
        let source = Source::new("a.rs", text);
        assert_eq!(source.docs_above(8), "/// One.\n/// Two.");
    }
}
