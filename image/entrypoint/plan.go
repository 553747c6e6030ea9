package main

import (
	"fmt"
	"strconv"
)

const (
	// roomForChat is what llama-server takes for a request by itself, in tokens.
	roomForChat = 4096
	// roomForText limits an embedding's input unless CONTEXT says otherwise, in tokens: a whole input is one batch, and
	// the memory for that grows with its square (bge-m3, trained for 8192, would take gigabytes).
	roomForText = 2048
	// connections is how many of clients are answered besides those that a slot works for. llama-server has a thread for
	// each, which an idle one keeps for five seconds, and by itself two more than slots: whoever comes next waits.
	connections = 32
)

// plan is what llama-server is started with before the user's own arguments.
type plan struct {
	args  []string
	notes []string // for people, a line each
	needs memoryNeeds
	front front
}

// makePlan decides what the user left open. What they set, by an argument or by llama-server's variable, is not
// touched.
func makePlan(m model, header gguf, s settings, g given, l limits) (plan, error) {
	p := planner{given: g, model: m, header: header, settings: s}
	mode, err := p.mode()
	if err != nil {
		return plan{}, err
	}
	room, err := p.room(mode)
	if err != nil {
		return plan{}, err
	}
	p.set(optModel, m.path)
	p.set(optAlias, m.name)
	p.setThreads(l)
	p.set(optHost, "0.0.0.0")
	p.set(optPort, strconv.Itoa(defaultPort))
	p.set(optMetrics, "1") // for the health check, which has to tell a busy server from one that hangs
	p.set(optCache, "0")   // by itself it keeps up to 8 GB of former prompts
	parallel := p.number(optParallel, 1)
	p.set(optHTTP, strconv.Itoa(connections+parallel))
	p.set(optParallel, strconv.Itoa(parallel))     // by itself it takes four, which share the context
	p.set(optContext, strconv.Itoa(room*parallel)) // llama-server divides it among the slots
	p.note("%s, %d tokens a request, %d at a time", mode, room, parallel)
	if mode == embeddings {
		err = p.embed()
	}
	if mode == reranking {
		p.set(optReranking, "1")
	}
	if mode != chat {
		p.setBatch(room)
	}
	p.needs = p.estimate(mode, room, parallel)
	p.front = p.inFront(mode, room, parallel)
	return p.plan, err
}

// inFront describes the program in front of the server.
func (p *planner) inFront(mode string, room, parallel int) front {
	if trained := p.header.context; mode != chat && trained > 0 && room > trained {
		room = trained
	}
	name := p.model.name
	if alias, set := p.given.lookup(optAlias); set {
		name = alias
	}
	is, _ := traitsOf(name)
	tools := !p.given.isOn(optNoJinja) && !p.given.isOff(optJinja)
	return front{
		Name:        name,
		Mode:        mode,
		Room:        room,
		Dimensions:  p.header.dimensions,
		Matryoshka:  is.matryoshka,
		Truncate:    p.settings.truncate,
		Prefix:      p.settings.prefix,
		Origins:     p.settings.origins,
		Connections: connections + parallel,
		Tools:       tools,
	}
}

// planner collects a plan.
type planner struct {
	plan
	given    given
	model    model
	header   gguf
	settings settings
}

func (p *planner) note(format string, values ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, values...))
}

// set adds an option unless the user set it.
func (p *planner) set(o option, value string) {
	if _, set := p.given.lookup(o); set {
		return
	}
	p.args = append(p.args, o.names[0])
	if !o.isFlag {
		p.args = append(p.args, value)
	}
}

// mode follows llama-server's own options, then MODE, then the file and its name.
func (p *planner) mode() (string, error) {
	encoder := contains(encoders, p.header.architecture)
	_, isKnown := traitsOf(p.model.name)
	switch asked := p.settings.mode; {
	case p.given.isOn(optReranking):
		return reranking, nil
	case p.header.pooling == "rank" && asked != auto && asked != reranking:
		return "", fail(misconfigured, "MODE=%s: %s is a reranker, which gives a score of two texts and neither vectors nor "+
			"words: leave MODE out, and ask /v1/rerank", asked, p.model.name)
	case p.given.isOn(optEmbeddings):
		return embeddings, nil
	case asked == reranking && p.header.pooling != "rank":
		return "", fail(misconfigured, "MODE=reranking: the file of %s does not say that it is a reranker (pooling rank)", p.model.name)
	case asked == chat && encoder:
		return "", fail(misconfigured, "MODE=chat: %s is an embedding model (%s) and cannot chat", p.model.name, p.header.architecture)
	case asked != auto:
		return asked, nil
	case p.header.pooling == "rank":
		return reranking, nil
	case encoder, p.header.pooling != "", isKnown:
		return embeddings, nil
	}
	return chat, nil
}

// room is how many tokens a request may have.
func (p *planner) room(mode string) (int, error) {
	trained := p.header.context
	if total, set := p.given.lookup(optContext); set {
		if total == "0" { // what the model was trained for, says llama-server
			return trained / p.number(optParallel, 1), nil
		}
		return p.number(optContext, roomForChat) / p.number(optParallel, 1), nil
	}
	if asked := p.settings.context; asked > 0 {
		switch {
		case trained == 0 || asked <= trained:
		case mode == chat:
			p.note("WARNING: CONTEXT=%d is more than it was trained for", asked)
		default:
			return 0, fail(misconfigured, "CONTEXT=%d: %s takes no more than %d tokens", asked, p.model.name, trained)
		}
		return asked, nil
	}
	room := roomForChat
	if mode != chat {
		room = roomForText
	}
	if trained > 0 && trained < room {
		room = trained
	}
	return room, nil
}

// setThreads keeps the number within what the container may use.
func (p *planner) setThreads(l limits) {
	threads, why := l.threads()
	if _, set := p.given.lookup(optThreads); set || threads == 0 {
		return
	}
	p.set(optThreads, strconv.Itoa(threads))
	p.note("threads: %d, %s", threads, why)
}

// setBatch makes room for the longest text, which has to be in one batch: the physical one, and the logical one with
// it. More than the model was trained for is refused by the server anyhow, and would only take memory.
func (p *planner) setBatch(room int) {
	if trained := p.header.context; trained > 0 && room > trained {
		room = trained
	}
	p.set(optBatch, strconv.Itoa(room))
	p.set(optUBatch, strconv.Itoa(room))
}

// embed adds what embeddings need, and says what may be wrong with them.
func (p *planner) embed() error {
	name, has, wanted := p.model.name, p.header.dimensions, p.settings.dimensions
	if wanted > 0 && has > 0 && wanted != has {
		return fail(misconfigured, "DIMENSIONS=%d: %s gives %d", wanted, name, has)
	}
	pooling, source, err := p.pooling()
	if err != nil {
		return err
	}
	p.set(optEmbeddings, "1")
	p.set(optPooling, pooling)
	p.note("pooling %s, %s", pooling, source)
	if p.header.pooling != "" && p.header.pooling != pooling {
		p.note("WARNING: the file says pooling %s", p.header.pooling)
	}
	if is, found := traitsOf(name); found && is.pooling != pooling {
		p.note("WARNING: a model of this name is made for pooling %s", is.pooling)
	} else if found && is.dimensions > 0 && has > 0 && is.dimensions != has {
		p.note("WARNING: a model of this name has %d dimensions, this file has %d", is.dimensions, has)
	}
	return nil
}

// pooling also returns who decided it.
func (p *planner) pooling() (pooling, source string, err error) {
	if own, set := p.given.lookup(optPooling); set {
		return own, "as llama-server is told", nil
	}
	if p.settings.pooling != "" {
		return p.settings.pooling, "as POOLING says", nil
	}
	if p.header.pooling != "" {
		return p.header.pooling, "as the file says", nil
	}
	if is, found := traitsOf(p.model.name); found {
		return is.pooling, "as models of this name are made for", nil
	}
	return "", "", fail(misconfigured, "%s does not say how its vectors are pooled, and a guess gives wrong ones: set "+
		"POOLING to mean, cls or last, as 1_Pooling/config.json of the original model has it", p.model.name)
}

// number is an option's value; what is not a number above 0 is left for llama-server to refuse.
func (p *planner) number(o option, otherwise int) int {
	if value, set := p.given.lookup(o); set {
		if number, err := strconv.Atoi(value); err == nil && number > 0 {
			return number
		}
	}
	return otherwise
}
