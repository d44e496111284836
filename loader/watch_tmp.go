package loader

func watch(all []*candidate) {}
