//! What the server says in texts, and in the codes with which it closes.

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::problem::Problem;

/// A text message of the server. A client skips those that it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// Commits up to this one bring the client something. Said once; the next time after it has asked.
    Changed {
        /// The last commit that was looked at.
        seq: u64,
    },
    /// Takes the place of the answer to a request.
    Problem(Problem),
}

/// Why the server closes a connection. Nothing is lost by any of them: what was acknowledged stands, and the next
/// connection goes on there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The server stops; come back after a while.
    GoingAway,
    /// What came is no WebSocket frame.
    Protocol,
    /// What came is no request.
    Invalid,
    /// A message or frame beyond the limits.
    TooBig,
    /// The credentials are good no more; come back with others.
    Expired,
    /// The client does not read.
    Slow,
    /// The client does not answer pings.
    Silent,
}

impl Closing {
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::Invalid => 1007,
            Self::TooBig => 1009,
            Self::Expired => 4401,
            Self::Slow => 4408,
            Self::Silent => 4409,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "the server stops; connect again after a while",
            Self::Protocol => "not a frame of a WebSocket",
            Self::Invalid => "not a request of the sync protocol",
            Self::TooBig => "a message or frame beyond the server's limits",
            Self::Expired => "the credentials are good no more; connect again with others",
            Self::Slow => "answers are not read; connect again",
            Self::Silent => "pings are not answered; connect again",
        }
    }

    pub(crate) fn frame(self) -> CloseFrame {
        CloseFrame {
            code: CloseCode::from(self.code()),
            reason: self.reason().into(),
        }
    }
}
