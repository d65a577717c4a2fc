//! What the user is told where multicast does not arrive (R47): what was tried, and that it goes on without.

use std::time::Duration;

use sodality_transports::udp::multicast::Probed;

use super::Room;
use crate::verbs::role::Role;

/// How long a datagram to the group may take to come back to this host.
const ROUND: Duration = Duration::from_millis(500);

impl<M: Role + 'static> Room<M> {
    /// The leader lives, and is not heard over the channel. From now on it sends everything to this member alone.
    pub(super) async fn multicast_silent(&mut self) {
        let Some(channel) = &self.ways.channel else { return };
        let (report, teller) = (channel.report().to_string(), self.tell.clone());
        let channel = channel.clone();
        // Answers take a moment, in which the group goes on.
        tokio::spawn(async move {
            let (probe, meaning) = match channel.probe(ROUND).await {
                Ok(Probed::Back) => {
                    ("back", "this host hears its own datagrams: they are lost on the way, or the group is another one")
                }
                Ok(Probed::Lost) => {
                    ("lost", "this host does not even hear its own datagrams: look at its --interface and firewall")
                }
                Ok(Probed::CannotTell) | Err(_) => ("unknown", "what is wrong cannot be told from here"),
            };
            let text =
                format!("hears nothing of the leader by multicast, and goes on by unicast. Tried: {report}; {meaning}");
            let fields = vec![("tried", report.into()), ("probe", probe.into())];
            teller.tell("multicast-silent", text, fields).await;
        });
    }

    /// It is heard there again.
    pub(super) async fn multicast_heard(&mut self) {
        self.say("multicast-heard", "hears the leader by multicast", Vec::new()).await;
    }
}
