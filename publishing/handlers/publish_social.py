"""PublishSocial {platform, post_type?}: a post about the artwork, one of each type on each network."""

from __future__ import annotations

from publishing.changes import Outcome, PostNoted
from publishing.handlers.context import Context, artwork_of, file_of
from publishing.payloads import choice_of
from publishing.platforms import POST_TYPES, SOCIALS
from publishing.records import Task


def run(task: Task, context: Context) -> Outcome:
    """Publish the post; nothing is done where one of this type is noted already."""
    file, platform = file_of(task), choice_of(task.payload, "platform", SOCIALS)
    post_type = choice_of(task.payload, "post_type", POST_TYPES, "post")
    if (platform, post_type) in task.posts:
        return Outcome({"was_there": "noted"})
    posted = context.socials[platform].publish(artwork_of(file), post_type, task.payload)
    noting = PostNoted(platform, post_type, posted.id, posted.url)
    return Outcome({"platform_post_id": posted.id}, (noting,))
