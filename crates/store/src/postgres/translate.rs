//! Statements are written once. What PostgreSQL wants otherwise, and can be said by rule, is said here:
//!
//! * placeholders: `?1` is `$1`, and each `?` is the next one;
//! * a function that takes rows over [whole](crate::session::whole) is SQLite's way to hand columns over: they stand as
//!   they are;
//! * a query in FROM needs a name, which nobody asks for;
//! * a plus before a column keeps SQLite from using its index: it is left out, and so is `NOT INDEXED`;
//! * what stands in a comment is for PostgreSQL alone.

const COMMENT: &str = "/* ";
const COMMENT_END: &str = " */";

/// The statement as PostgreSQL takes it.
pub(super) fn translated(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 16);
    let (mut rest, mut place) = (sql, 0_usize);
    // Ends of the functions whose arguments are being passed: how deep in parentheses they began.
    let (mut depth, mut open, mut derived) = (0_usize, Vec::new(), Vec::new());
    while let Some(next) = rest.chars().next() {
        let mut length = next.len_utf8();
        match next {
            '\'' => {
                let end = rest[1..].find('\'').map_or(rest.len(), |end| end + 2);
                out.push_str(&rest[..end]);
                length = end;
            }
            '?' => {
                let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                length += digits;
                place = rest[1..length].parse().unwrap_or(place + 1);
                out.push('$');
                out.push_str(&place.to_string());
            }
            '+' if out.ends_with([' ', '('])
                && rest[1..].starts_with(|next: char| next.is_ascii_lowercase()) => {}
            '(' => {
                depth += 1;
                if rest[1..].starts_with("SELECT") && (out.ends_with("FROM ") || out.ends_with("JOIN ")) {
                    derived.push(depth);
                }
                out.push('(');
            }
            ')' => {
                if open.last() == Some(&depth) {
                    open.pop();
                } else {
                    out.push(')');
                }
                if derived.last() == Some(&depth) {
                    derived.pop();
                    let next = rest[1..].trim_start();
                    if !next.starts_with(|next: char| next.is_ascii_lowercase()) && !next.starts_with("AS ") {
                        out.push_str(&format!(" AS derived_{}", out.len()));
                    }
                }
                depth = depth.saturating_sub(1);
            }
            'w' if rest.starts_with("whole_") && !out.ends_with(is_of_name) => {
                let name = rest.bytes().take_while(|byte| is_of_name(char::from(*byte))).count();
                if rest[name..].starts_with('(') {
                    depth += 1;
                    open.push(depth);
                    length = name + 1;
                } else {
                    out.push_str(&rest[..name]);
                    length = name;
                }
            }
            _ if rest.starts_with("NOT INDEXED") => length = "NOT INDEXED".len(),
            '/' if rest.starts_with(COMMENT) => length = COMMENT.len(),
            ' ' if rest.starts_with(COMMENT_END) => length = COMMENT_END.len(),
            _ => out.push(next),
        }
        rest = &rest[length..];
    }
    out
}

fn is_of_name(letter: char) -> bool {
    letter == '_' || letter.is_ascii_alphanumeric()
}

/// The table that a statement writes, if it does.
pub(super) fn written(sql: &str) -> Option<&str> {
    let mut words = sql.split([' ', '(', ';']).filter(|word| !word.is_empty());
    match words.next()? {
        "INSERT" | "DELETE" => words.nth(1),
        "UPDATE" => words.next(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_those_of_the_other_database() {
        for (sqlite, postgres) in [
            (
                "SELECT a FROM t WHERE b = ?1 AND c = ?2 AND d = ?1",
                "SELECT a FROM t WHERE b = $1 AND c = $2 AND d = $1",
            ),
            ("INSERT INTO t VALUES (?, ?, ?)", "INSERT INTO t VALUES ($1, $2, $3)"),
            (
                "SELECT a || '?1' FROM t WHERE +b = ? AND c + 1 > ?",
                "SELECT a || '?1' FROM t WHERE b = $1 AND c + 1 > $2",
            ),
            ("SELECT whole_vpc(id, (a), b), c FROM t", "SELECT id, (a), b, c FROM t"),
            ("SELECT whole_ FROM t NOT INDEXED", "SELECT whole_ FROM t "),
            ("SELECT (SELECT whole_t(max(a)) FROM t)", "SELECT (SELECT max(a) FROM t)"),
            (
                "SELECT a FROM (SELECT 1 AS a) WHERE a = 1",
                "SELECT a FROM (SELECT 1 AS a) AS derived_29 WHERE a = 1",
            ),
            (
                "DELETE FROM t WHERE a IN (SELECT a FROM t LIMIT ?1 /* FOR UPDATE SKIP LOCKED */)",
                "DELETE FROM t WHERE a IN (SELECT a FROM t LIMIT $1 FOR UPDATE SKIP LOCKED)",
            ),
            ("SELECT a FROM (SELECT 1 AS a) x", "SELECT a FROM (SELECT 1 AS a) x"),
        ] {
            assert_eq!(translated(sqlite), postgres);
        }
        assert_eq!(written("INSERT INTO ram_user (a) VALUES (?)"), Some("ram_user"));
        assert_eq!(written("UPDATE account SET a = 1"), Some("account"));
        assert_eq!(written("DELETE FROM account WHERE a = 1"), Some("account"));
        assert_eq!(written("SELECT 1 FROM account"), None);
    }
}
