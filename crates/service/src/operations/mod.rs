//! What each operation does: a file for each, which implements [`Pure`], [`Read`], [`Write`], [`PreparedWrite`] or
//! [`LongWork`] for the input that its page gives ([`crate::api`], generated). `docs/adding-an-operation.md` says what
//! a new one touches.
//!
//! [`Pure`]: crate::operation::Pure
//! [`Read`]: crate::operation::Read
//! [`Write`]: crate::operation::Write
//! [`PreparedWrite`]: crate::operation::PreparedWrite
//! [`LongWork`]: crate::operation::LongWork

pub mod alb;
pub mod cas;
pub mod ecs;
pub mod kms;
pub mod location;
pub mod ram;
pub mod resourcemanager;
pub mod sts;
pub mod vpc;

#[cfg(test)]
mod tests {
    use crate::api::ALL;

    #[test]
    fn the_table_is_sound() {
        for (place, operation) in ALL.iter().enumerate() {
            let again = ALL[place + 1..]
                .iter()
                .any(|other| other.product == operation.product && other.action == operation.action);
            assert!(!again, "{} stands twice", operation.action);
            for parameter in operation.parameters {
                let count = operation.parameters.iter().filter(|other| other.name == parameter.name).count();
                assert_eq!(count, 1, "{} takes {} twice", operation.action, parameter.name);
                assert!(!parameter.about.is_empty());
            }
            if let Some(permission) = operation.permission {
                assert!(permission.ends_with(operation.action), "{permission}");
            }
            if let Some(subject) = operation.subject {
                assert!(operation.takes(subject), "{} has no {subject}", operation.action);
            }
        }
    }
}
