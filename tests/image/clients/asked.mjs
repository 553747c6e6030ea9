// The same as asked.py, for npm's clients: `node asked.mjs CLIENT EMBEDDINGS CHAT`.

const [MODEL, TALKER, CAT, DOG, ASKED] = ["all-minilm", "chat", "a cat", "a dog", "Say hello."];
const MESSAGES = [{ role: "user", content: ASKED }];
const TOKENS = 8;

async function all(stream, piece) {
  const found = [];
  for await (const one of stream) found.push(piece(one));
  return found;
}

// What the client's user reads of a request that is refused.
async function refusal(ask) {
  try {
    return `no error: ${JSON.stringify(await ask()).slice(0, 200)}`;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

const clients = {
  async openai(embeddings, chat) {
    const { default: OpenAI } = await import("openai");
    const vectors = new OpenAI({ baseURL: `${embeddings}/v1`, apiKey: "none" }).embeddings;
    const talker = new OpenAI({ baseURL: `${chat}/v1`, apiKey: "none" });
    const asked = { model: TALKER, messages: MESSAGES, max_tokens: TOKENS, temperature: 0 };
    return {
      one: (await vectors.create({ model: MODEL, input: CAT })).data[0].embedding,
      two: (await vectors.create({ model: MODEL, input: [CAT, DOG] })).data.map((one) => one.embedding),
      said: [(await talker.chat.completions.create(asked)).choices[0].message.content],
      pieces: await all(
        await talker.chat.completions.create({ ...asked, stream: true }),
        (one) => one.choices[0]?.delta.content ?? "",
      ),
      models: await all(talker.models.list(), (one) => one.id),
      refused: await refusal(() => vectors.create({ model: MODEL, input: CAT, dimensions: 100 })),
    };
  },

  async ollama(embeddings, chat) {
    const { Ollama } = await import("ollama");
    const [vectors, talker] = [new Ollama({ host: embeddings }), new Ollama({ host: chat })];
    const options = { num_predict: TOKENS, temperature: 0 };
    const asked = { model: TALKER, messages: MESSAGES, options };
    return {
      one: (await vectors.embed({ model: MODEL, input: CAT })).embeddings[0],
      two: (await vectors.embed({ model: MODEL, input: [CAT, DOG] })).embeddings,
      said: [
        (await talker.chat(asked)).message.content,
        (await talker.generate({ model: TALKER, prompt: ASKED, options })).response,
      ],
      pieces: await all(await talker.chat({ ...asked, stream: true }), (one) => one.message.content),
      models: (await talker.list()).models.map((one) => one.name),
      refused: await refusal(() => vectors.embed({ model: "bge-m3", input: CAT })),
    };
  },

  async "@langchain/ollama"(embeddings, chat) {
    const { ChatOllama, OllamaEmbeddings } = await import("@langchain/ollama");
    const vectors = (model) => new OllamaEmbeddings({ model, baseUrl: embeddings, maxRetries: 0 });
    const talker = new ChatOllama({ model: TALKER, baseUrl: chat, numPredict: TOKENS, temperature: 0 });
    return {
      one: await vectors(MODEL).embedQuery(CAT),
      two: await vectors(MODEL).embedDocuments([CAT, DOG]),
      said: [(await talker.invoke(ASKED)).content],
      pieces: await all(await talker.stream(ASKED), (one) => one.content),
      refused: await refusal(() => vectors("bge-m3").embedQuery(CAT)),
    };
  },
};

const [client, embeddings, chat] = process.argv.slice(2);
console.log(JSON.stringify(await clients[client](embeddings, chat)));
