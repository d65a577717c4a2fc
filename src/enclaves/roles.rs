//! The two machines as what both systems share.

use super::{Leader, Member};

crate::group::roles::share_roles!(Leader, Member);
