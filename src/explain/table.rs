//! The table: code, class, what happened, what to do. A new variant of a list does not compile without its row. Codes that
//! stand here once stay: `tests/reasons.rs`.

use super::{Class, Explained, Explanation, Group};
use crate::error::{CommandError, Failure, Misuse, Reason};
use crate::event::{
    Cause, DirectEnd, EjectVerdict, EndReason, Ending, JoinFailure, Lacking, ObjectRefusal, Refusal, Shortfall,
    Suspicion,
};
use crate::policy::Contradiction;
use crate::transfer::{OfferEnd, TransferError};

macro_rules! explained {
    ($(
        $type:ident $prefix:literal $told:literal {
            $($variant:ident $code:literal $class:ident $happened:literal $advice:literal;)*
        }
        $(+ $inside:ident)*
    )*) => {
        $(impl Explained for $type {
            fn explanation(&self) -> &'static Explanation {
                match self {
                    $(Self::$variant => const { &explained!(row $prefix $code $class $happened $advice) },)*
                    $(Self::$inside(inner) => inner.explanation(),)*
                }
            }
        })*

        /// All lists, and with them all reasons.
        pub const GROUPS: &[Group] = &[$(Group {
            name: stringify!($type),
            told: $told,
            all: &[$(explained!(row $prefix $code $class $happened $advice)),*],
        }),*];
    };
    (row $prefix:literal $code:literal $class:ident $happened:literal $advice:literal) => {
        Explanation {
            code: concat!($prefix, ".", $code),
            class: Class::$class,
            happened: $happened,
            advice: $advice,
        }
    };
}

explained! {
    Reason "reject" "The event `Rejected`: a frame was refused. Nothing changed but counters, and the peer heard nothing." {
        Malformed "malformed" Network "The bytes are no message of this format."
            "Nothing. If a peer of yours sent them, compare versions, or look for damage on the way.";
        Mismatch "mismatch" Network "The frame is of another version, system, edition or suite than the one configured here."
            "Configure all parties alike; nothing is negotiated. From strangers: nothing.";
        Misdirected "misdirected" Network "The message is for another role, or comes from a part that is not here."
            "Check that each party connects to the right address. From strangers: nothing.";
        Unknown "unknown" Network "The frame belongs to no session, attempt, link or principal known here: late, of an earlier run, or a stranger's."
            "Nothing. If a leader is refused by the third party for this, check that it is registered as a leader.";
        Forged "forged" Fault "The tag, box or signature does not verify: damaged on the way, made under another key, or written by somebody without the key."
            "A few on a bad network are harmless. If all frames of a party are refused, check its key; otherwise somebody meddles with the network.";
        Replayed "replayed" Fault "The number of the frame has been used already: the network repeated or overtook it, or somebody plays back a recording."
            "Harmless, it was not taken twice. Datagram networks cause some; over a reliable link somebody repeats frames.";
        OldEpoch "old-epoch" Expected "The message was sealed under a key that was replaced, and whose grace is over: it was late, or is played back."
            "Nothing. If it happens at each rekey, the policy's `grace` is too short for this network, or a sender lags.";
        EvictedEpoch "evicted-epoch" Expected "The message was sealed under a key that ended at once because somebody left or was removed: it was on its way, its sender had not heard of it, or who is out still speaks."
            "Nothing for a moment after an eviction; the sender says it again under the new key. Later, somebody uses an old key.";
        BeforeJoin "before-join" Expected "The message was sealed under a key from before the first one that came here: it was said before this member joined."
            "Nothing. Newcomers cannot read what was said earlier.";
        MissedEpoch "missed-epoch" Expected "The message was sealed under a key that never came here, since its epoch was jumped over."
            "It cannot be read any more: ask its sender to say it again. If it happens often, the link to the leader loses frames.";
        EarlyEpoch "early-epoch" Expected "The message was sealed under a key that is not here: it was given up when another key was installed, or when the evidence for its key did not come."
            "Its sender may have to say it again. If no key of that epoch ever comes, somebody made the number up.";
        EarlyOverflow "early-overflow" Expected "The message was sealed under a key that is not here yet, and no room was left to wait for it."
            "It is lost here: ask for it again. If it happens often, the link to the leader is slow, or strangers fill the room; see `Limits::early_frames`.";
        NoSuchEpoch "no-such-epoch" Fault "The message names an epoch that was never made."
            "Nothing: somebody makes numbers up, or bytes were damaged on the way.";
        OtherGroup "other-group" Network "The message belongs to another instance of a group: the one before the leader restarted, or another group on the same network."
            "Nothing. If it goes on after a restart of the leader, its sender has not joined again yet.";
        NotJoined "not-joined" Expected "A message came while this member is in no group."
            "Join, if you want to read it. After a leave a few may still arrive.";
        Echo "echo" Expected "Own traffic came back."
            "Nothing. On links that many share it is usual.";
        Protection "protection" Fault "The message has another protection than the policy demands: none where there must be one, another kind, a signature too few or too many."
            "It was not shown. Its sender is broken, or somebody tries to get past the protection.";
        NotMember "not-member" Fault "The named sender is not in the view: it is gone, not here yet, or never was."
            "It was not shown. Shortly after somebody went it may be a last message; otherwise somebody speaks under a made-up number.";
        Violation "violation" Fault "The frame is authentic, and breaks the rules of the protocol."
            "Report it: that peer runs faulty or hostile software. The session with it has been ended where the protocol says so.";
        Budget "budget" Network "A limit for unauthenticated or costly work is reached."
            "Under a flood: nothing, the limits hold. If honest peers are refused, raise the limit in `Limits`.";
        Unproven "unproven" Network "The address at the other end of the link is not proven, and this kind of work is not done for such links."
            "Nothing. If an honest peer is refused, its transport must prove addresses first.";
        Oversize "oversize" Network "The frame is longer than the link, or the policy, allows."
            "Nothing. If a peer of yours sent it, its transport and this one disagree about the longest frame.";
        NotCurrent "not-current" Expected "This member is stale: it has no fresh evidence that its key is the leader's, so it shows nothing."
            "Wait for `Current`, or look after the link to the leader. What came meanwhile has to be said again.";
        Ended "ended" Expected "The group has ended here, or this member is leaving."
            "Nothing. Join again if you want to go on.";
        OtherRecipient "other-recipient" Fault "The message opens under a key that is held here, and its head names somebody else: it was turned back or redirected."
            "Somebody meddles with the network, or a peer of yours mixes up its links.";
        Untimely "untimely" Fault "The time in the head of the message differs from the clock here by more than the window: a clock is wrong, or the message was held back."
            "Compare the clocks of all parties. If they agree, somebody holds messages back or plays back a recording.";
        Entropy "entropy" Own "The random source of this machine failed while the answer was made. Nothing changed."
            "Mend the random source. The peer asks again by itself.";
        Suite "suite" Own "The cryptographic back end of this machine failed. Nothing changed."
            "Look after that back end (a device, a service). The peer asks again by itself.";
    }

    Lacking "behind" "The event `Behind`: the leader has a newer key, and this member sends nothing until it is installed." {
        Key "no-key" Expected "The newer key has not come yet: it is late, or was lost."
            "Nothing: this member has asked for it. If it does not end, the link to the leader loses frames.";
        Policy "no-policy" Expected "The newer key has come, and the policy that rules it has not."
            "Nothing: this member has asked for it.";
        View "no-view" Expected "The newer key has come, and the list of members that belongs to it has not."
            "Nothing: this member has asked for it. Large groups need some time.";
        Suite "suite" Own "The newer key has come, and the cryptographic back end failed while it was installed."
            "Look after that back end. It is tried again by itself.";
    }

    Refusal "refuse" "The events `JoinRefused` (said by the leader) and `NotVouched` (said by the third party, at itself and at the leader). All are authentic." {
        Unknown "unknown" Own "The third party knows no member of that name."
            "Register the name, or correct it.";
        BadTag "bad-tag" Fault "The join request was made under another key than the registered one: an old key after a change, a mix-up, or somebody without the key."
            "Give the member the key that is registered now. If it has it, somebody else tries to join under its name.";
        Disabled "disabled" Expected "The member is disabled at the third party."
            "Ask whoever keeps the registry.";
        Busy "busy" Expected "There is no room now: the group is full, or has a live member of that name and lets none replace it."
            "Try again later, or end the other session first.";
        Denied "denied" Expected "The leader does not admit this member: by its list, by its application, or because the request lacks the ephemeral exchange that the policy demands."
            "Ask whoever leads the group.";
    }

    JoinFailure "join" "The event `JoinFailed`: the join came to nothing here." {
        Timeout "timeout" Network "No answer came in time: the leader or its third party cannot be reached or does not run, or does not answer to this name, key or application."
            "Check address, names and key, then join again. An authority that does not know the key stays silent on purpose.";
        LinkTooSmall "link-too-small" Own "The policy has longer frames than the link carries."
            "Use another transport, or ask the leader for a policy with a smaller `frame_limit`.";
    }
    + BelowFloor + Ended

    Shortfall "join.below-floor" "Inside `JoinFailed`, or inside `Ended` after a change of policy: the leader's policy falls short of what this member insists on. It is not in the group." {
        ForwardSecrecy "forward-secrecy" Expected "The policy has no ephemeral exchange: keys that leak later would open this session."
            "Ask for a better policy, or lower your floor if you trust this group.";
        Protection "protection" Expected "The policy protects messages less than this member demands."
            "Ask for a better policy, or lower your floor if you trust this group.";
        Origin "origin" Expected "Messages are not signed by their senders: any member could speak as another."
            "Ask for a better policy, or lower your floor if you trust this group.";
        FailureDetection "failure-detection" Expected "The policy detects no failures: a dead or withheld leader would go unnoticed."
            "Ask for a better policy, or lower your floor if you trust this group.";
        RekeyOnLeave "rekey-on-leave" Expected "The key does not change when somebody goes: who is out could read on."
            "Ask for a better policy, or lower your floor if you trust this group.";
        Staleness "staleness" Expected "Evidence that the key is current may get older than this member allows."
            "Ask for a shorter period of detection, or lower your floor.";
        KeyLifetime "key-lifetime" Expected "Keys may get older than this member allows."
            "Ask for a key lifetime, or lower your floor.";
        Views "views" Expected "The roster that members see is not exactly those who can hold the key."
            "Ask for exact views, or lower your floor.";
        AsPublished "as-published" Expected "The policy names parts as published in 1999, which are broken; a member of the repaired edition takes part in no such group, whatever its floor."
            "Ask for a policy without a mix. To study the published parts, use `antigone::mixed`.";
        FreeEjection "free-ejection" Expected "Any member may throw out any other."
            "Ask that the leader's application decides, or lower your floor.";
    }

    EndReason "end" "Inside `Ended(ByLeader)` and `JoinFailed`: the leader has ended the session and says why. It is authentic." {
        Left "left" Expected "The member left."
            "Nothing.";
        Ejected "ejected" Expected "The leader removed this member, on its own or at the request of another."
            "Ask whoever leads the group.";
        Failed "failed" Network "The leader took this member for dead: nothing, or too little, was heard of it."
            "Join again. If it happens often, look after the link.";
        TakenOver "taken-over" Expected "Somebody joined again under this name, with its key, and replaced this session."
            "If that was not you, change the key: somebody has it.";
        Policy "policy" Expected "The policy no longer admits this member."
            "Ask whoever leads the group.";
        Closing "closing" Expected "The leader closes the group."
            "Nothing.";
        Protocol "protocol" Fault "The leader says that this member broke the protocol."
            "Report it: one of the two runs faulty software, or somebody has a key of this session.";
        Busy "busy" Expected "The group is full, or has a live member of this name and lets none replace it."
            "Try again later, or end the other session first.";
        Exhausted "exhausted" Expected "The numbers of this session are used up, after very many frames."
            "Join again: that gives new keys.";
    }

    Ending "ended" "The event `Ended`: the group is over here, and its keys are wiped." {
        Left "left" Expected "This member left, and the leader knows."
            "Nothing.";
        LeftUnconfirmed "left-unconfirmed" Network "This member left, and the leader did not confirm it in time."
            "Nothing: the leader notices by silence. Until then it counts this member in.";
        LeaderViolation "leader-violation" Fault "The leader broke the protocol, so this member left."
            "Report it: the leader runs faulty or hostile software. Join again only if you trust it.";
        Exhausted "exhausted" Expected "The numbers of this session are used up, after very many frames."
            "Join again: that gives new keys.";
        LeaderLost "leader-lost" Network "Nothing fresh was heard of the leader for too long: it is gone, or somebody cuts the network."
            "Join again when it can be reached.";
        Closed "closed" Expected "The leader closed its group."
            "Nothing.";
    }
    + ByLeader + BelowFloor

    Suspicion "suspect" "The event `Suspected`, at the leader: a member is taken for dead. What follows is the policy's." {
        Silence "silence" Network "Nothing fresh was heard of the member for too long: it is gone, or its network is."
            "Wait, or remove it. It comes back by itself if it lives, unless the policy removes it.";
        KeyNotTaken "key-not-taken" Network "The member speaks, and has not shown the current key for too long: keys do not reach it, or it does not take them."
            "Look after its network. Remove it if that goes on: it cannot take part.";
        RecordsPileUp "records-pile-up" Network "The member does not acknowledge what it is sent, and it piles up."
            "Look after its network. Remove it if that goes on.";
    }

    DirectEnd "direct" "The event `DirectClosed`: a direct link between two members is over, or came to nothing." {
        Closed "closed" Expected "This member wished it."
            "Nothing.";
        ByPeer "by-peer" Expected "The member at the other end wished it."
            "Nothing. Ask for another link if you need one.";
        Silence "silence" Network "Nothing was heard of the other end for too long: it is gone, or its network is."
            "Ask for another link, while the leader is there to make one.";
        Denied "denied" Expected "The leader grants no direct link to that member, or knows no member of that name."
            "Send it by way of the leader (`Member::send_to`).";
        NoAnswer "no-answer" Network "The leader did not answer the wish, or the other end did not show up, in time."
            "Check that the other end announces how it can be reached, and that it can be. Then ask again.";
        Replaced "replaced" Expected "The leader gave both ends a newer key: one of them asked for another link."
            "Nothing: the new link follows.";
    }

    EjectVerdict "eject" "The event `EjectionAnswered`: what became of a request to remove somebody." {
        Ejected "ejected" Expected "The member is out."
            "Nothing.";
        NotAllowed "not-allowed" Expected "The policy does not let members ask for that."
            "Ask whoever leads the group.";
        NoSuchMember "no-such-member" Expected "No live member has that number and that name, or it is the leader itself: it may be gone already."
            "Look at the list of members.";
        Denied "denied" Expected "The leader's application said no, or nothing."
            "Ask whoever leads the group.";
        Busy "busy" Expected "The leader has no room for the question now."
            "Ask again later.";
    }

    ObjectRefusal "object" "The event `ObjectRefused`: a change of a shared object was not made." {
        NotAllowed "not-allowed" Expected "The policy does not let this member change that object."
            "Ask whoever leads the group.";
        NoSuchObject "no-such-object" Expected "The policy names no such object: it may be so no longer."
            "Look at the objects that this member was told of.";
        TooLong "too-long" Own "The contents are longer than the policy allows for that object."
            "Shorten them; the longest length stands with the right.";
        Conflict "conflict" Expected "Somebody else changed the object first: it is at another version than this change was made for."
            "Look at the object as it is now, and make the change anew.";
        Busy "busy" Expected "The leader has no room for the change now."
            "Make it again later.";
    }

    Cause "cause" "The events `Installed` and `MemberRemoved`: why a key was changed, or somebody is gone." {
        Open "open" Expected "The group was opened." "Nothing.";
        Join "join" Expected "Somebody joined." "Nothing.";
        Leave "leave" Expected "Somebody left by own wish." "Nothing.";
        Eject "eject" Expected "Somebody was removed by the leader, or at the request of a member, or because it broke the protocol." "Nothing.";
        Failure "failure" Network "Somebody was silent for too long." "If it happens often, look after the network.";
        Takeover "takeover" Expected "Somebody joined again under the name of a live member, with its key."
            "If its owner did not do that, its key is known to another: change it.";
        Policy "policy" Expected "The policy changed." "Nothing.";
        Period "period" Expected "The key was old enough." "Nothing.";
        Messages "messages" Expected "The key had sealed enough messages." "Nothing.";
        Bytes "bytes" Expected "The key had sealed enough bytes." "Nothing.";
        Command "command" Expected "The leader's application asked for it." "Nothing.";
        Missed "missed" Expected "Not known here: the changes that say why were missed, and the leader no longer remembers them."
            "Nothing. If it happens often, the link to the leader loses frames.";
    }

    Failure "failure" "The event `Hindered`, and what a command answers: the surroundings failed. Nothing changed, and the call may be repeated." {
        Entropy "entropy" Own "The random source failed."
            "Mend it and try again. No key is ever made without it.";
        Suite "suite" Own "The cryptographic back end failed."
            "Look after that back end (a device, a service) and try again.";
    }

    CommandError "command" "What a command answers when it did nothing." {
        Full "full" Own "The outgoing queues have no room. Nothing changed."
            "Drain `poll_transmit` and `poll_event`, then call again.";
    }
    + Misuse + Failure

    Misuse "misuse" "What a command answers: the caller asked for what cannot be had. Nothing changed." {
        NotJoined "not-joined" Own "Not in a group." "Join, and wait for `Joined`.";
        AlreadyJoined "already-joined" Own "Already joining or joined." "Leave first, and wait for `Ended`.";
        NotCurrent "not-current" Own "There is no current key, so nothing is sent: this member is behind, stale, or not joined yet."
            "Wait for `Installed` or `Current`.";
        TooLong "too-long" Own "The message is longer than `max_message()`." "Send an object through `transfer`.";
        NoLink "no-link" Own "The link is unknown or closed." "Pass links that `handle_link_opened` announced.";
        NoTicket "no-ticket" Own "The ticket is unknown, answered or expired." "Answer each `…Wanted` event once, in time.";
        SealerTaken "sealer-taken" Own "The sealer of this epoch has been taken already." "Use that one, or wait for the next epoch.";
        KeyExhausted "key-exhausted" Own "This key has sealed as much as it may." "Wait for the next epoch.";
        KeyLength "key-length" Own "The suite does not take keys of that length." "See `Suite::sizes`.";
        Policy "policy" Own "The policy contradicts itself." "See `Policy::check`, whose answer has a code of its own.";
        NoMember "no-member" Own "No live member has that number, or it is the leader." "See the view. The leader cannot be ejected.";
        Oneself "oneself" Own "A member does not eject itself." "Leave.";
        Unanswered "unanswered" Own "As many requests as may be are not answered yet." "Wait for `EjectionAnswered`, or for a private word for `GossipSent`.";
        Closed "closed" Own "The group is closed." "Open another.";
        FixedPolicy "fixed-policy" Own "Views, signed origin and the frame limit are fixed while a group runs." "Open another group for others.";
        AsPublished "as-published" Own "The policy names parts as published, and this group is of the repaired edition." "Use `antigone::mixed`, or a policy without a mix.";
        SharedObjects "shared-objects" Own "The policy names shared objects, which groups of Antigone do not have."
            "Take the objects out, or open a group of Enclaves.";
        NoPrivateWords "no-private-words" Own "A group with parts as published has no private words." "Open a group of the repaired edition.";
        SameName "same-name" Own "A member and its leader have the same name." "Give them different names.";
        NoWallClock "no-wall-clock" Own "This system stamps its messages with wall-clock time, and the call brought none." "Set `Cx::wall`.";
        NoDirectLink "no-direct-link" Own "There is no open direct link to that member." "Ask for one with `Member::link_to`, and wait for `DirectOpened`.";
    }

    Contradiction "policy" "What `Policy::check` answers: the policy contradicts itself." {
        SettleOutlastsGrace "settle-outlasts-grace" Own "Sending would stay with a key that opens no more."
            "Make `settle` shorter than `grace`, or both zero.";
        ExactWithoutRekey "exact-without-rekey" Own "An exact roster needs keys that end with each change."
            "Rekey on join, leave, eject, failure and takeover, or choose another class of views.";
        OriginWithoutViews "origin-without-views" Own "Signed origin needs views: members learn the keys of others from them."
            "Show views, or do without signatures.";
        OriginWithoutProtection "origin-without-protection" Own "Signed origin needs a protection of data around it."
            "Choose a protection, or do without signatures.";
        FramesTooShort "frames-too-short" Own "Frames are too short for the protocol." "Make `frame_limit` 1200 bytes or more.";
        FramesTooLong "frames-too-long" Own "Frames are too long for the protocol." "Make `frame_limit` 1 MiB or less.";
        Detection "detection" Own "The period of failure detection is too short, too long, or without a miss."
            "Choose between 10 ms and 1 hour, and at least one miss.";
        GraceWithoutDetection "grace-without-detection" Own "A newcomer could not wait for its key, since nothing would show it that the leader lives."
            "Detect failures, or make `grace` 10 s or less.";
        TriggerWithoutMeasure "trigger-without-measure" Own "A rekey on period, messages or bytes has no measure, or one of zero."
            "Give the key's lifetime, messages or bytes, above zero.";
        MeasureWithoutTrigger "measure-without-trigger" Own "The key has a lifetime, a number of messages or of bytes, and the policy does not rekey on it."
            "Add the trigger, or leave the measure out.";
        Lifetime "lifetime" Own "The key's lifetime is not longer than `grace`, or longer than 49 days."
            "Choose one in between.";
        HintTooLong "hint-too-long" Own "The hint has more than 64 bytes." "Shorten it.";
        TooLong "too-long" Own "`grace` or `settle` is longer than an hour." "Shorten it.";
        PartOfMillisecond "part-of-millisecond" Own "A time is not a whole number of milliseconds, and members would get another."
            "Round it.";
        MixedViews "mixed-views" Own "Parts are as published, and views are numbered or origin is signed."
            "Choose views `hidden` or `with-each-key`, and no signed origin.";
        EmptyMix "empty-mix" Own "A mix names no part as published." "Name one, or no mix.";
        TooManyObjects "too-many-objects" Own "The policy names more than 64 shared objects." "Put several things into one object.";
        ObjectSize "object-size" Own "The contents of a shared object may be of no length, or longer than 16 MiB."
            "Choose between 1 byte and 16 MiB; send what is longer through `transfer`.";
        TooManyRights "too-many-rights" Own "A shared object gives rights of their own to more than 10,000 members."
            "Give most of them the right of everybody.";
    }

    OfferEnd "offer" "The event `OfferEnded` of `transfer`: an object is no longer on offer." {
        Expired "expired" Expected "It was on offer for as long as was asked." "Offer it again for those who still want it.";
        Source "source" Own "Its bytes cannot be read any more." "Look after the file or source, and offer it again.";
    }

    TransferError "transfer" "What a command of `transfer` answers when it did nothing." {
        Full "full" Own "There are as many objects as the limits allow." "Withdraw, abandon or wait.";
        Unknown "unknown" Own "There is no such object, or not in a state for this." "Take objects from events.";
        Taken "taken" Own "That object is on offer or being received already." "Nothing, or withdraw it first.";
        Manifest "manifest" Own "The object is too long, in chunks or in bytes, or has no digest." "Split it, or raise the limits.";
        NotWhole "not-whole" Own "The object is not whole yet." "Wait for `Complete`.";
        Config "config" Own "Messages too short, a window smaller than two messages, or a time of zero." "Correct the configuration.";
        Source "source" Own "The bytes of the object cannot be read." "Look after the file or source.";
        Entropy "entropy" Own "The random source failed." "Mend it and try again.";
        Suite "suite" Own "The cryptographic back end failed." "Look after that back end and try again.";
    }
}
