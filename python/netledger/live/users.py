"""Who on this machine has assigned something."""

import pwd


def name_of(user: int) -> str:
    """What a user of this machine is called."""
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        return f"uid {user}"
    return name if name.isprintable() else f"uid {user}"
