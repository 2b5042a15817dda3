//! An error and what led to it, in one line: each cause once.
//!
//! Errors of libraries and of our own crates often quote their cause in their own text and name it as their cause as
//! well; printed one after the other they would say everything twice.

/// The text of an error with its causes, without those that were said already.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        match said.last() {
            Some(before) if before.contains(&cause) => {}
            // The same in other words around it: `Error code 11: …malformed`.
            Some(before) if cause.rsplit_once(": ").is_some_and(|(_, end)| before.ends_with(end)) => {}
            Some(before) if cause.contains(before.as_str()) => {
                said.pop();
                said.push(cause);
            }
            _ => said.push(cause),
        }
    }
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};
    use tongguan_store::StoreError;

    use super::*;

    #[test]
    fn each_cause_is_said_once() {
        let missing = || std::io::Error::from_raw_os_error(2);
        let file =
            StoreError::File { what: "cannot make data directory", path: "/x".into(), source: missing() };
        for (error, expected) in [
            (file.into(), "cannot make data directory `/x`: No such file or directory (os error 2)"),
            (anyhow!("a").context("b"), "b: a"),
            (
                anyhow!("Error code 11: it is malformed").context("database: it is malformed"),
                "database: it is malformed",
            ),
            (anyhow!("cannot read `f`").context("cannot read"), "cannot read `f`"),
            (
                Err::<(), _>(missing()).context("cannot read `f`").unwrap_err(),
                "cannot read `f`: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(causes(&error), expected);
        }
    }
}
