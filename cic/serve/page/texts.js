// What the page says, in each language.

const ENGLISH = {
  title: "Colour for black-and-white photos",
  choose: "Choose photos",
  drop: "or drop them here, or paste one.",
  local: "Nothing leaves this machine: photos stay in memory, and no longer than they are worked on.",
  remote: "Photos go to {host} alone, stay in its memory, and no longer than they are worked on.",
  photos: "Photos",
  after: "In colour",
  split: "Share of the photo before",
  mode: "What touching the photo does",
  compare: "Compare",
  hints: "Choose colours",
  places: "Places of the photo: arrow keys move the cursor, Enter chooses a colour there",
  known: "Colours that you know",
  "place-help": "Touch a place of the photo, or move the cursor by the arrow keys and press Enter. At {x} %, {y} %: {color}",
  place: "The place at {x} %, {y} %: {color}",
  likely: "Likely colours there",
  hue: "Hue",
  strength: "Strength",
  chosen: "Chosen colours",
  hint: "{number}: {color}",
  remove: "Remove {number}: {color}",
  undo: "Undo",
  redo: "Redo",
  "save-hints": "Save the list",
  "load-hints": "Load a list",
  hinted: "Colour {number}: {color}",
  removed: "Colour {number} is removed",
  undone: "Undone; chosen colours: {count}",
  redone: "Done again; chosen colours: {count}",
  loaded: "{name}: chosen colours: {count}",
  "no-hints": "{name}: no list of colours for this photo",
  gray: "gray",
  pink: "pink",
  red: "red",
  orange: "orange",
  brown: "brown",
  yellow: "yellow",
  green: "green",
  turquoise: "turquoise",
  blue: "blue",
  violet: "violet",
  saturation: "Saturation",
  temperature: "Mix of possible colours",
  "temperature-help": "Left the likeliest colour alone, right the mean of all.",
  alternatives: "Other colours that are likely",
  alternative: "Colouring {number}",
  doubt: "Show where the network is unsure (the brighter, the less sure)",
  download: "Download",
  "download-all": "Download all (zip)",
  reset: "Reset",
  language: "中文",
  waiting: "{name}: colours are on their way ...",
  coloured: "{name}: in colour",
  making: "{name}: full size, {done} of {count} ...",
  made: "Downloaded: {count}",
  size: "{width} x {height} pixels",
  and: "; ",
  large: "{name}: {size} MB; this server takes up to {most} MB",
  pixels: "{name}: {size} megapixels; this server takes up to {most}",
  heic: "{name}: this server reads no HEIC: save it as JPEG first",
  busy: "{name}: the server is busy; trying again ...",
  token: "This server asks for a token",
  "wrong-token": "The server does not take this token.",
  "go-on": "Continue",
  cancel: "Cancel",
  failed: "{name}: {detail}",
  passing: "{name}: {detail} (click the photo to try again)",
  again: "Try again",
  "problem-away": "The server does not answer. Is it still running?",
};

const CHINESE = {
  title: "为黑白照片上色",
  choose: "选择照片",
  drop: "也可以把照片拖到这里，或直接粘贴。",
  local: "照片不会离开这台机器：只在处理时留在内存中，用完即弃。",
  remote: "照片只发送到 {host}，只在处理时留在它的内存中，用完即弃。",
  photos: "照片",
  after: "上色之后",
  split: "显示原片的比例",
  mode: "触摸照片时",
  compare: "前后对比",
  hints: "指定颜色",
  places: "照片上的位置：方向键移动光标，回车键在该处指定颜色",
  known: "您知道的颜色",
  "place-help": "点一下照片上的某处，或用方向键移动光标后按回车键。{x} %，{y} % 处：{color}",
  place: "{x} %，{y} % 处：{color}",
  likely: "此处可能的颜色",
  hue: "色相",
  strength: "浓淡",
  chosen: "已指定的颜色",
  hint: "{number}：{color}",
  remove: "删除 {number}：{color}",
  undo: "撤销",
  redo: "重做",
  "save-hints": "保存列表",
  "load-hints": "读取列表",
  hinted: "颜色 {number}：{color}",
  removed: "已删除颜色 {number}",
  undone: "已撤销；现有指定颜色：{count}",
  redone: "已重做；现有指定颜色：{count}",
  loaded: "{name}：指定颜色 {count} 处",
  "no-hints": "{name}：不是这张照片的颜色列表",
  gray: "灰色",
  pink: "粉色",
  red: "红色",
  orange: "橙色",
  brown: "棕色",
  yellow: "黄色",
  green: "绿色",
  turquoise: "青色",
  blue: "蓝色",
  violet: "紫色",
  saturation: "饱和度",
  temperature: "可能颜色的混合",
  "temperature-help": "最左只取最可能的颜色，最右取所有可能颜色的平均。",
  alternatives: "其他可能的颜色",
  alternative: "配色 {number}",
  doubt: "显示网络没有把握的地方（越亮越没有把握）",
  download: "下载",
  "download-all": "全部下载（zip）",
  reset: "还原",
  language: "English",
  waiting: "{name}：正在上色……",
  coloured: "{name}：上色完成",
  making: "{name}：正在生成原尺寸，第 {done} 张，共 {count} 张……",
  made: "已下载：{count}",
  size: "{width} x {height} 像素",
  and: "；",
  large: "{name}：{size} MB；服务器最多接受 {most} MB",
  pixels: "{name}：{size} 百万像素；服务器最多接受 {most}",
  heic: "{name}：服务器不能读 HEIC，请先存为 JPEG",
  busy: "{name}：服务器忙，正在重试……",
  token: "此服务器需要令牌",
  "wrong-token": "服务器不接受这个令牌。",
  "go-on": "继续",
  cancel: "取消",
  failed: "{name}：{detail}",
  passing: "{name}：{detail}（点击照片可重试）",
  again: "重试",
  "problem-away": "服务器没有回应，它还在运行吗？",
  "problem-no-photo": "文件是空的",
  "problem-not-a-photo": "不是已知格式的照片",
  "problem-damaged": "文件已损坏",
  "problem-truncated": "文件不完整，缺少末尾部分",
  "problem-unsupported": "服务器不能读这种文件，请先存为 JPEG、PNG 或 TIFF",
  "problem-too-large": "照片太大，服务器处理不了",
  "problem-memory": "处理这张照片所需的内存超出了上限",
  "problem-too-long": "处理时间太长，请把照片缩小后再试",
  "problem-slow": "上传太慢，已被中断",
  "problem-busy": "服务器忙，请稍后再试",
  "problem-stopping": "服务器正在关闭",
  "problem-token": "需要令牌",
  "problem-failed": "服务器处理时出错，原因见它的日志",
  "note-lost": "文件已损坏，部分画面缺失",
  "note-stretched": "明暗范围较窄，已拉伸到从黑到白",
};

const LANGUAGES = { en: ENGLISH, zh: CHINESE };
let language = navigator.language.startsWith("zh") ? "zh" : "en";

/** A text with its {places} filled; a value that is a function gives it in the language of now. */
export function text(name, values = {}) {
  return LANGUAGES[language][name].replace(/\{(\w+)\}/g, (_, key) => {
    return typeof values[key] === "function" ? values[key]() : values[key];
  });
}

/** What the server says, {code, detail}: in this language if that has the code, else as it is. */
export function translated(kind, { code, detail }) {
  return LANGUAGES[language][`${kind}-${code}`] ?? detail;
}

/** Write all texts that stand in the page itself. */
export function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = `cic: ${text("title")}`;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(element.dataset.label));
  }
  const other = document.getElementById("language");
  other.textContent = text("language");
  other.lang = language === "zh" ? "en" : "zh-CN";
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  document.getElementById("privacy").textContent = text(local ? "local" : "remote", { host: location.host });
}

/** Change to the other language. */
export function change() {
  language = language === "zh" ? "en" : "zh";
  translate();
}
