with open('data/stopwords.txt') as f:
    STOPWORDS = set(line.strip() for line in f)
