def one_line(message, parser):
    return message
